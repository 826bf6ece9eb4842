"""The properties of a message, as far as anyone here asks for them. Pure; source: AMQP 0-9-1 §4.2.6.1.

Given are the bytes behind the size of the body: flags, then the properties that these name, in a fixed order.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from asya.transports.rabbitmq.engine import NO_HEADERS
from asya.transports.rabbitmq.fast.errors import ProtocolError

log = logging.getLogger(__name__)
CONTENT_TYPE, CONTENT_ENCODING, HEADERS = 1 << 15, 1 << 14, 1 << 13
_DELIVERY_MODE, _PRIORITY, _CORRELATION_ID, _REPLY_TO, _EXPIRATION, _MESSAGE_ID = (1 << bit for bit in range(12, 6, -1))


def headers(data: bytes) -> Mapping[str, Any]:
    """Return the headers; the same empty mapping for all messages that have none, or some that nobody understands.

    Raises:
        ProtocolError: The properties end before they do.
    """
    flags = _flags(data)
    if not flags & HEADERS:
        return NO_HEADERS
    # Few messages have headers, so that many processes never load this.
    from pamqp import decode  # noqa: PLC0415

    at = _before_headers(data, flags)
    end = at + 4 + int.from_bytes(data[at : at + 4], "big")
    if at + 4 > len(data) or end > len(data):
        raise ProtocolError("the headers of a message end too early", 502)
    try:
        _, table = decode.field_table(data[at:end])
    except Exception as error:  # noqa: BLE001  the library meets what it does not know with whatever error comes up
        # The broker carries times after the year 9999 and names that are not UTF-8. A connection that ends because of
        # them would get the same message again, and again.
        log.warning("the headers of a message cannot be read, it is taken without them: %r", error)
        return NO_HEADERS
    return table or NO_HEADERS


def message_id(data: bytes) -> str:
    """Return the id of a message; "" when it has none.

    Raises:
        ProtocolError: The properties end before it.
    """
    flags = _flags(data)
    at = _before_headers(data, flags)
    if flags & HEADERS:
        at += 4 + int.from_bytes(data[at : at + 4], "big")
    at += bool(flags & _DELIVERY_MODE) + bool(flags & _PRIORITY)
    for flag in (_CORRELATION_ID, _REPLY_TO, _EXPIRATION):
        if flags & flag:
            at = _skip(data, at)
    if not flags & _MESSAGE_ID:
        return ""
    end = _skip(data, at)
    return data[at + 1 : end].decode("ascii", "replace")


def _flags(data: bytes) -> int:
    flags = int.from_bytes(data[:2], "big")
    if flags & 1:
        raise ProtocolError("a message with more properties than AMQP 0-9-1 has", 502)
    return flags


def _before_headers(data: bytes, flags: int) -> int:
    at = 2
    for flag in (CONTENT_TYPE, CONTENT_ENCODING):
        if flags & flag:
            at = _skip(data, at)
    return at


def _skip(data: bytes, at: int) -> int:
    """Return where the short string at `at` ends."""
    if at >= len(data) or (end := at + 1 + data[at]) > len(data):
        raise ProtocolError("the properties of a message end too early", 502)
    return end
