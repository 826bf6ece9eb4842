"""x-sink: the end of every route.

On its first visit a message is kept (see `checkpoint`) and then sent past the hook actors, which lead back here. On the
second visit nothing is left to do: the handler returns without a result and the sidecar reports the outcome.
"""

from __future__ import annotations

from collections.abc import Generator

from asya.crew.checkpoint import Checkpoint
from asya.crew.message import Json, read_message
from asya.crew.settings import read_settings

_settings = read_settings()
_checkpoint = Checkpoint(_settings.checkpoint)


def handle(payload: Json) -> Generator[Json, Json, None]:
    """Keep the message, then send it past the hooks or end its way.

    Raises:
        OSError: Or the store's own error, when the checkpoint could not be written.
    """
    message = yield from read_message(payload)
    if _settings.sink in message["route"]["prev"]:
        return
    _checkpoint.keep(message)
    if _settings.hooks:
        yield "SET", ".route.next", [*_settings.hooks, _settings.sink]
        yield payload
