"""Ordering keys: what the envelope's header `x-asya-group` says. Pure."""

from __future__ import annotations

import hashlib
from typing import Final

from asya.errors import WireError
from asya.wire import decode

GROUP_HEADER: Final = "x-asya-group"
_BYTES: Final = 1024


def key(body: bytes) -> str:
    """Return the ordering key of a message; empty: it is in no order with anything."""
    try:
        header = decode(body).headers.get(GROUP_HEADER)
    except WireError:
        return ""
    name = "" if header is None else bytes(header).decode().strip('"')
    return name if len(name.encode()) <= _BYTES else hashlib.sha256(name.encode()).hexdigest()
