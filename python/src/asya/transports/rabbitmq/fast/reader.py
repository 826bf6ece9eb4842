"""From bytes to frames and messages. No I/O; source: AMQP 0-9-1 §4.2.

All that comes lies in one buffer of fixed size and is read there, in place. What is copied is the body of a message,
once when it fits one frame, and the beginning of a frame that does not fit at the end of the buffer: at most as many
bytes as were received.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Any, Protocol

from asya.transports.rabbitmq.engine import NO_HEADERS
from asya.transports.rabbitmq.fast import properties
from asya.transports.rabbitmq.fast.errors import ProtocolError

FRAME_BYTES = 131_072
"""Largest frame that we take, and that is agreed on unless the broker wants less; RabbitMQ's own default."""
BODY_BYTES = 512 * 1024 * 1024
"""Largest body that is believed: RabbitMQ's own upper limit."""
KEPT_BYTES = 16 * 1024 * 1024
"""Largest body whose memory is kept for the next one."""
ROOM = 16_384
"""Fewest bytes that are offered to the network at once."""

_METHOD, _CONTENT, _BODY, _HEARTBEAT = 1, 2, 3, 8
_OVERHEAD = 8
"""Bytes of a frame besides what it carries: 7 before, 1 after."""
_END = 0xCE
_START = Struct(">BHI")  # kind of frame, channel, size
_FRAME = Struct(">BHII")  # the same; class and method in one number
_HEADER = Struct(">BHIHHQH")  # the same, class, weight, size of the body, flags of the properties
_TAG = Struct(">QB")
_DELIVER, _RETURN, _ACK, _NACK = 60 << 16 | 60, 60 << 16 | 50, 60 << 16 | 80, 60 << 16 | 120
_CONFIRMATIONS = frozenset({_ACK, _NACK})
_BASIC = 60
_SLACK = 32
"""Bytes behind the buffer, so that a short frame at its end can be unpacked before its size has been checked."""


class Channel(Protocol):
    """What frames are for. Calls may raise `ProtocolError`."""

    def delivered(self, tag: int, body: bytes, redelivered: bool, headers: Mapping[str, Any]) -> None:  # noqa: FBT001
        """Take a message."""

    def returned(self, message_id: str) -> None:
        """Take note that a message came back."""

    def confirmed(self, tag: int, multiple: bool, refused: bool) -> None:  # noqa: FBT001
        """Take note that the broker has taken a message, or refused it; with `multiple` all up to it."""

    def method(self, frame: bytes) -> None:
        """Take a whole frame of any other method."""


@dataclass(slots=True)
class _Content:
    """A message of which a part has come: a delivery, or one of ours that came `back`."""

    tag: int = 0
    redelivered: bool = False
    back: bool = False
    properties: bytes | None = None
    size: int = 0
    missing: int = 0
    body: memoryview | None = None
    """What has come of a body that takes several frames."""


class Reader:
    """The buffer of one connection. `channels` belongs to the connection, which opens and closes them."""

    def __init__(self, channels: Mapping[int, Channel]) -> None:
        self._channels = channels
        self._data = bytearray(2 * (FRAME_BYTES + _OVERHEAD) + ROOM + _SLACK)
        self._view = memoryview(self._data)
        self._capacity = len(self._data) - _SLACK
        self._head = self._tail = 0
        self._largest = FRAME_BYTES - _OVERHEAD
        self._contents: dict[int, _Content] = {}
        self._spare: memoryview | None = None

    def agree(self, frame_bytes: int) -> None:
        """Take no larger frames from now on, its eight own bytes included."""
        self._largest = frame_bytes - _OVERHEAD

    def room(self) -> memoryview:
        """Return where the next bytes are to be put."""
        if self._capacity - self._tail < ROOM:
            left = self._tail - self._head
            self._data[:left] = self._view[self._head : self._tail].tobytes()
            self._head, self._tail = 0, left
        return self._view[self._tail : self._capacity]

    def received(self, count: int) -> None:
        """Read all that is whole now that `count` more bytes have been put into `room`.

        Raises:
            ProtocolError: It is not what AMQP allows. Nothing more can be read.
        """
        self._tail += count
        try:
            self._read()
        except (struct.error, IndexError) as error:
            raise ProtocolError(f"a frame ends too early: {error}", 502) from error
        if self._head == self._tail:
            self._head = self._tail = 0

    def forget(self, number: int) -> None:
        """Drop what has come of a message on a channel that is closed."""
        self._contents.pop(number, None)

    def release(self) -> None:
        """Give the buffer back; nothing more comes."""
        self._data, self._view = bytearray(), memoryview(b"")
        self._contents.clear()
        self._spare = None

    def _read(self) -> None:
        data, end = self._data, self._tail
        unpack, largest = _FRAME.unpack_from, self._largest
        while end - self._head >= _OVERHEAD:
            head = self._head
            kind, number, size, method = unpack(data, head)
            if size > largest:
                raise self._too_large(head, size)
            after = head + size + _OVERHEAD
            if after > end:
                return
            if data[after - 1] != _END:
                raise ProtocolError(f"a frame of kind {kind} and {size} bytes does not end with the octet 0xCE")
            if kind != _METHOD:
                self._other(kind, number, head, after)
                self._head = after
            elif method == _DELIVER:
                self._head = self._deliver(number, head, after, end)
            elif method in _CONFIRMATIONS:
                tag, flags = _TAG.unpack_from(data, head + 11)
                if size < 13:
                    raise ProtocolError("a confirmation ends too early", 502)
                self._channel(number).confirmed(tag, flags & 1 == 1, method == _NACK)
                self._head = after
            else:
                if method == _RETURN:
                    self._begin(number, _Content(back=True))
                else:
                    self._channel(number).method(self._view[head:after].tobytes())
                self._head = after

    def _deliver(self, number: int, head: int, after: int, end: int) -> int:
        """Read a delivery; at once when all of it is there in three frames, as it nearly always is."""
        data = self._data
        at = head + 12 + data[head + 11]
        if at + 12 > after:
            raise ProtocolError("a delivery ends too early", 502)
        tag, redelivered = _TAG.unpack_from(data, at)
        if end - after >= 22:
            kind, same, size, basic, _, length, flags = _HEADER.unpack_from(data, after)
            begin = after + size + _OVERHEAD
            if (
                kind == _CONTENT
                and same == number
                and basic == _BASIC
                and 14 <= size <= self._largest
                and end - begin >= 7
                and data[begin - 1] == _END
                and number not in self._contents
            ):
                kind, same, size = _START.unpack_from(data, begin)
                finish: int = begin + length + _OVERHEAD
                if (
                    kind == _BODY
                    and same == number
                    and size == length
                    and length <= self._largest
                    and finish <= end
                    and data[finish - 1] == _END
                ):
                    headers = NO_HEADERS
                    if flags & properties.HEADERS:
                        headers = properties.headers(self._view[after + 19 : begin - 1].tobytes())
                    body = self._view[begin + 7 : finish - 1].tobytes()
                    self._head = finish
                    channel = self._channels.get(number) or self._channel(number)
                    channel.delivered(tag, body, redelivered & 1 == 1, headers)
                    return finish
        self._begin(number, _Content(tag, redelivered & 1 == 1))
        return after

    def _begin(self, number: int, content: _Content) -> None:
        if number in self._contents:
            raise ProtocolError(f"a message on channel {number} begins before the last one has ended", 505)
        self._channel(number)
        self._contents[number] = content

    def _other(self, kind: int, number: int, head: int, after: int) -> None:
        if kind == _BODY:
            self._body(number, self._view[head + 7 : after - 1])
        elif kind == _CONTENT:
            self._content_header(number, head, after)
        elif kind != _HEARTBEAT:
            raise ProtocolError(f"a frame of kind {kind}, which AMQP 0-9-1 does not have")
        elif number:
            raise ProtocolError(f"a heartbeat on channel {number}")

    def _content_header(self, number: int, head: int, after: int) -> None:
        content = self._contents.get(number)
        if content is None or content.properties is not None:
            raise ProtocolError(f"the header of a message on channel {number} that nothing has announced", 505)
        if after - head < 22:
            raise ProtocolError("the header of a message ends too early", 502)
        _, _, _, basic, _, length, _ = _HEADER.unpack_from(self._data, head)
        if basic != _BASIC:
            raise ProtocolError(f"the header of a message of class {basic}", 505)
        if length > BODY_BYTES:
            raise ProtocolError(f"a message of {length} bytes is announced")
        content.properties = self._view[head + 19 : after - 1].tobytes()
        content.size = content.missing = length
        if not length:
            self._complete(number, content, b"")

    def _body(self, number: int, part: memoryview) -> None:
        content = self._contents.get(number)
        if content is None or content.properties is None:
            raise ProtocolError(f"a piece of a message on channel {number} that nothing has announced", 505)
        at = content.size - content.missing
        content.missing -= len(part)
        if content.missing < 0:
            raise ProtocolError(f"a message of {content.size} bytes is longer than that")
        if not content.missing and at == 0:
            self._complete(number, content, part.tobytes())
            return
        if not content.back:
            if content.body is None:
                content.body = self._bench(content.size)
            content.body[at : at + len(part)] = part
        if not content.missing:
            self._complete(number, content, b"" if content.body is None else bytes(content.body[: content.size]))
            if content.body is not None and len(content.body) <= KEPT_BYTES:
                self._spare = content.body

    def _bench(self, size: int) -> memoryview:
        """Return memory in which a body is put together: the last one's, where it is large enough."""
        spare, self._spare = self._spare, None
        return spare if spare is not None and len(spare) >= size else memoryview(bytearray(size))

    def _complete(self, number: int, content: _Content, body: bytes) -> None:
        del self._contents[number]
        assert content.properties is not None  # noqa: S101  it came before the body
        channel = self._channel(number)
        if content.back:
            channel.returned(properties.message_id(content.properties))
            return
        channel.delivered(content.tag, body, content.redelivered, properties.headers(content.properties))

    def _channel(self, number: int) -> Channel:
        channel = self._channels.get(number)
        if channel is None:
            raise ProtocolError(f"a frame on channel {number}, which is not open", 504)
        return channel

    def _too_large(self, head: int, size: int) -> ProtocolError:
        if self._data[head : head + 4] == b"AMQP":
            version = ".".join(map(str, self._data[head + 5 : head + 8]))
            return ProtocolError(f"the other side speaks AMQP {version}, not 0.9.1")
        return ProtocolError(f"a frame of {size + _OVERHEAD} bytes; {self._largest + _OVERHEAD} were agreed on")
