"""What travels: the envelope, its headers, its clock and its child ids.

Belongs here: reading and writing one message. Does not belong here: how it gets from queue to queue (`asya.transports`)
and what becomes of it (`asya_sidecar.decide`).
"""

from asya.wire.clock import format_time, parse_time
from asya.wire.envelope import (
    Envelope,
    ErrorInfo,
    Raw,
    Route,
    Status,
    decode,
    encode,
    new_envelope,
    raw,
)
from asya.wire.ids import child_id, content_id, new_id

__all__ = [
    "Envelope",
    "ErrorInfo",
    "Raw",
    "Route",
    "Status",
    "child_id",
    "content_id",
    "decode",
    "encode",
    "format_time",
    "new_envelope",
    "new_id",
    "parse_time",
    "raw",
]
