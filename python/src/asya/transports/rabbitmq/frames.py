"""The four frames of the hot path, written by hand: publish, acknowledge, give back. Pure; source: AMQP 0-9-1 §4.2.

A general encoder looks at the type of each field of each frame, which took a tenth of a hop's CPU time; here only
names, numbers and the body vary. Rare frames are left to the library.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

_START = Struct(">BHI")  # kind of frame, channel, size
_HEADER = Struct(">BHIHHQH")  # the same, class, weight, size of the body, flags of the properties
_SETTLE = Struct(">BHIHHQBB")  # the same, class, method, delivery tag, flags; end of the frame
_METHOD, _CONTENT, _BODY = 1, 2, 3
_END = b"\xce"
_BASIC = 60
_PUBLISH, _ACK, _NACK = b"\x00\x3c\x00\x28\x00\x00", 80, 120  # publish: class, method, two reserved bytes
_MULTIPLE, _REQUEUE = 1, 2
_MANDATORY = b"\x01"
_HEADERS, _DELIVERY_MODE, _MESSAGE_ID = 1 << 13, 1 << 12, 1 << 7
_PERSISTENT = b"\x02"
NAME_BYTES = 255
"""Longest name or routing key that AMQP can carry."""


def short(text: str) -> bytes:
    """Encode a name; at most `NAME_BYTES` in UTF-8.

    Raises:
        ValueError: It is longer, or holds half a surrogate pair.
    """
    encoded = text.encode()
    if len(encoded) > NAME_BYTES:
        raise ValueError(f"a name of {len(encoded)} bytes, AMQP carries {NAME_BYTES}")
    return bytes((len(encoded),)) + encoded


def publish_method(channel: int, exchange: str, key: str) -> bytes:
    """Return the first frame of a mandatory message, which is the same for all messages with this key."""
    method = b"".join((_PUBLISH, short(exchange), short(key), _MANDATORY))
    return b"".join((_START.pack(_METHOD, channel, len(method)), method, _END))


def publish(
    channel: int, exchange: str, key: str, message_id: str, table: bytes | None, body: bytes, largest: int
) -> list[bytes | memoryview]:
    """Return the pieces of one mandatory, persistent message: see `publish_method` and `content`."""
    return [publish_method(channel, exchange, key), *content(channel, message_id, table, body, largest)]


def content(
    channel: int, message_id: str, table: bytes | None, body: bytes, largest: int
) -> Iterator[bytes | memoryview]:
    """Yield the pieces of a persistent message's header and body; `largest` body bytes go into a frame.

    `table` holds the headers, encoded; None for none.
    """
    properties = b"".join((table or b"", _PERSISTENT, short(message_id)))
    flags = _DELIVERY_MODE | _MESSAGE_ID | (_HEADERS if table is not None else 0)
    yield _HEADER.pack(_CONTENT, channel, 14 + len(properties), _BASIC, 0, len(body), flags) + properties + _END
    whole = memoryview(body)
    for start in range(0, len(body), largest):
        part = whole[start : start + largest]
        yield _START.pack(_BODY, channel, len(part))
        yield part
        yield _END


def ack(channel: int, tag: int, *, multiple: bool = False) -> bytes:
    """Acknowledge one delivery; with `multiple`, every one up to it."""
    return _SETTLE.pack(_METHOD, channel, 13, _BASIC, _ACK, tag, _MULTIPLE if multiple else 0, _END[0])


def give_back(channel: int, tag: int) -> bytes:
    """Put one delivery back into its queue."""
    return _SETTLE.pack(_METHOD, channel, 13, _BASIC, _NACK, tag, _REQUEUE, _END[0])
