"""x-sump: the last resort. It says on stdout what it got, keeps it, and sends it nowhere."""

from __future__ import annotations

import json
import sys

from asya.crew.checkpoint import Checkpoint
from asya.crew.message import Context, Json, Message, read_message
from asya.crew.settings import read_settings

FOLDER = "sump"

_checkpoint = Checkpoint(read_settings().checkpoint)


async def handle(payload: Json, context: Context) -> None:
    """Log the whole message as one JSON line and keep it.

    Raises:
        OSError: Or the store's own error, when the checkpoint could not be written; the line is out by then.
    """
    message = read_message(payload, context)
    sys.stdout.write(_line(message) + "\n")
    sys.stdout.flush()
    await _checkpoint.keep(message, outcome=FOLDER)


def _line(message: Message) -> str:
    """One line of ASCII: a log collector must not stumble over what the message holds."""
    return json.dumps({"event": "message-in-sump", "envelope": message}, separators=(",", ":"))
