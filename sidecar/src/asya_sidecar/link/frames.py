"""The link protocol's frames: bytes in, bytes out. Specification: docs/reference/link-protocol.md, version 1."""

from __future__ import annotations

import struct
from collections.abc import Iterator

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


Buffer = bytes | memoryview


class FrameError(Exception):
    """The peer does not speak the protocol; the connection must end."""


def frame(kind: int, call: int = 0, body: bytes = b"") -> bytes:
    """Write one frame."""
    return _HEAD.pack(_AFTER_LENGTH + len(body), kind, call) + body


def call_frame(call: int, meta: bytes, payload: Buffer) -> bytes:
    """Write a CALL frame."""
    size = _AFTER_LENGTH + _LENGTH.size + len(meta) + memoryview(payload).nbytes
    return b"".join((_CALL_HEAD.pack(size, CALL, call, len(meta)), meta, payload))


def split_result(body: bytes) -> tuple[bytes, bytes]:
    """Split the body of RESULT or CHUNK into changes (JSON, may be empty) and payload (JSON).

    Raises:
        FrameError: The stated length does not fit.
    """
    if len(body) < _LENGTH.size:
        raise FrameError("a result without its length field")
    end = _LENGTH.size + _LENGTH.unpack_from(body)[0]
    if end > len(body):
        raise FrameError("a result whose changes are longer than its frame")
    return body[_LENGTH.size : end], body[end:]


class FrameReader:
    """Cuts a byte stream into frames. Feed it what arrives; iterate over what is complete."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._buffer = bytearray()
        self._limit = limit

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Yield `(type, call, body)` of every frame that `data` completes.

        Raises:
            FrameError: A frame of an unknown type, or longer than the limit.
        """
        # What arrives is nearly always whole frames: then they are cut from it directly, without a copy in between.
        buffer = self._buffer
        if buffer:
            buffer += data
            source: bytes | bytearray = buffer
        else:
            source = data
        view = memoryview(source)
        offset, available = 0, len(source)
        try:
            while available - offset >= _HEAD.size:
                length, kind, call = _HEAD.unpack_from(source, offset)
                if length > self._limit or length < _AFTER_LENGTH:
                    raise FrameError(f"a frame of {length} bytes")
                if kind not in KNOWN:
                    raise FrameError(f"a frame of unknown type {kind}")
                end = offset + _LENGTH.size + length
                if end > available:
                    break
                body = bytes(view[offset + _HEAD.size : end])
                offset = end
                yield kind, call, body
        finally:
            view.release()
            if source is buffer:
                del buffer[:offset]
            elif offset < available:
                buffer += data[offset:]
