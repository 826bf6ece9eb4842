"""The link protocol's frames: bytes in, bytes out. Specification: docs/reference/link-protocol.md, version 1."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from asya_sidecar import heap

PROTOCOL = 1
MAX_FRAME = 512 * 1024 * 1024

HELLO, WELCOME, REFUSED, FAILED = 1, 2, 3, 4
CALL, CANCEL = 10, 11
RESULT, CHUNK, END, ERROR, FLY, BEGUN, NOTES, REGISTRY = 20, 21, 22, 23, 24, 25, 26, 27
PING, PONG = 30, 31
DRAIN, DONE, REPLACE = 40, 41, 42

KNOWN = frozenset(
    (
        HELLO,
        WELCOME,
        REFUSED,
        FAILED,
        CALL,
        CANCEL,
        RESULT,
        CHUNK,
        END,
        ERROR,
        FLY,
        BEGUN,
        NOTES,
        REGISTRY,
        PING,
        PONG,
        DRAIN,
        DONE,
        REPLACE,
    )
)

_HEAD = struct.Struct(">IBI")
_CALL_HEAD = struct.Struct(">IBII")
_LENGTH = struct.Struct(">I")
_AFTER_LENGTH = _HEAD.size - _LENGTH.size


_ROOM = 65_536
_LARGE = _ROOM // 2
"""Bytes that are not copied: going out, or coming in a frame that does not come whole."""

Buffer = bytes | memoryview


class FrameError(Exception):
    """The peer does not speak the protocol; the connection must end."""


def frame(kind: int, call: int = 0, body: bytes = b"") -> bytes:
    """Write one frame."""
    return _HEAD.pack(_AFTER_LENGTH + len(body), kind, call) + body


def call_frame(call: int, meta: bytes, payload: Buffer) -> tuple[bytes, Buffer] | tuple[bytes]:
    """Write a CALL frame; a large payload stays a piece of its own, not copied."""
    size = memoryview(payload).nbytes
    head = _CALL_HEAD.pack(_AFTER_LENGTH + _LENGTH.size + len(meta) + size, CALL, call, len(meta))
    if size > _LARGE:
        heap.keep()
        return head + meta, payload
    return (b"".join((head, meta, payload)),)


def split_result(body: Buffer) -> tuple[bytes, Buffer]:
    """Split the body of RESULT or CHUNK into changes (JSON, may be empty) and payload (JSON).

    Raises:
        FrameError: The stated length does not fit.
    """
    if len(body) < _LENGTH.size:
        raise FrameError("a result without its length field")
    end = _LENGTH.size + _LENGTH.unpack_from(body)[0]
    if end > len(body):
        raise FrameError("a result whose changes are longer than its frame")
    return bytes(body[_LENGTH.size : end]), body[end:]


class FrameReader:
    """Cuts a byte stream into frames, in place: put what comes into `room`, then read what is complete.

    A frame that is larger than the room gets memory of its own, which is filled directly and never copied.
    """

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._data = bytearray(_ROOM)
        self._view = memoryview(self._data)
        self._head = self._tail = 0
        self._large: memoryview | None = None
        self._filled = 0

    def room(self) -> memoryview:
        """Return where the next bytes are to be put."""
        if self._large is not None:
            return self._large[self._filled :]
        if self._head:
            left = self._tail - self._head
            if left:
                self._data[:left] = self._data[self._head : self._tail]
            self._head, self._tail = 0, left
        return self._view[self._tail :]

    def received(self, count: int) -> Iterator[tuple[int, int, Buffer]]:
        """Yield `(type, call, body)` of every frame that is complete now that `count` more bytes are in `room`.

        Raises:
            FrameError: A frame of an unknown type, or longer than the limit.
        """
        if self._large is not None:
            self._filled += count
            if self._filled == len(self._large):
                whole, self._large = self._large, None
                _, kind, call = _HEAD.unpack_from(whole)
                yield kind, call, whole[_HEAD.size :].toreadonly()
            return
        self._tail += count
        while self._tail - self._head >= _HEAD.size:
            head = self._head
            length, kind, call = _HEAD.unpack_from(self._data, head)
            if length > self._limit or length < _AFTER_LENGTH:
                raise FrameError(f"a frame of {length} bytes")
            if kind not in KNOWN:
                raise FrameError(f"a frame of unknown type {kind}")
            end = head + _LENGTH.size + length
            if end > self._tail:
                if length > _LARGE:
                    self._begin_large(_LENGTH.size + length)
                return
            self._head = end
            yield kind, call, bytes(self._view[head + _HEAD.size : end])

    def feed(self, data: bytes) -> Iterator[tuple[int, int, Buffer]]:
        """Take bytes that lie elsewhere, and yield as `received` does."""
        rest = memoryview(data)
        while rest:
            room = self.room()
            part = rest[: len(room)]
            room[: len(part)] = part
            yield from self.received(len(part))
            rest = rest[len(part) :]

    def _begin_large(self, size: int) -> None:
        """Give the frame at the end of what is there memory of its own."""
        heap.keep()
        self._large = memoryview(bytearray(size))
        self._filled = self._tail - self._head
        self._large[: self._filled] = self._view[self._head : self._tail]
        self._head = self._tail = 0
