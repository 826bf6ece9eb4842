"""x-sink: the end of every route.

On its first visit a message is kept (see `checkpoint`) and then sent past the hook actors, which lead back here. On the
second visit nothing is left to do: the handler returns nothing and the sidecar reports the outcome.
"""

from __future__ import annotations

from asya.crew.checkpoint import Checkpoint
from asya.crew.message import Context, Json, read_message
from asya.crew.settings import read_settings

_settings = read_settings()
_checkpoint = Checkpoint(_settings.checkpoint)


# Async, because every message of a mesh ends here: many wait for the disk, or for S3, side by side.
async def handle(payload: Json, context: Context) -> Json:
    """Keep the message, then send it past the hooks (return its payload) or end its way (return None).

    Raises:
        OSError: Or the store's own error, when the checkpoint could not be written.
    """
    if _settings.sink in context.route.prev:
        return None
    await _checkpoint.keep(read_message(payload, context))
    if not _settings.hooks:
        return None
    context.route.next = [*_settings.hooks, _settings.sink]
    return payload
