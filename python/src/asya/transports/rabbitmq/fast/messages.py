"""Messages as they go out. Pure.

What is the same for all messages of a destination is encoded once; of the rest, everything of fixed size is packed in
one go. A message's id is its number on the channel, 16 hexadecimal digits: by it a message that comes back is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import Any

from asya.transports.rabbitmq import frames
from asya.transports.rabbitmq.engine import Destination, Publication

KNOWN_DESTINATIONS = 1024
"""How many are kept encoded."""

# Header: kind of frame, channel, size, class, weight, size of the body, flags, delivery mode, length of the id, id,
# end. Body: kind of frame, channel, size.
_HEADER_AND_START = Struct(">BHIHHQHBB16sBBHI")
_HEADER_BYTES = 14 + 1 + 1 + 16
_BASIC = 60
_FLAGS = 1 << 12 | 1 << 7  # delivery mode, message id
_PERSISTENT = 2
_CONTENT, _BODY = 2, 3
_END = 0xCE
_END_BYTE = b"\xce"


class Messages:
    """Encodes for one channel; `largest` body bytes go into a frame."""

    def __init__(self, channel: int, largest: int) -> None:
        self._channel, self._largest = channel, largest
        self._methods: dict[Destination, bytes] = {}

    def encode(self, publication: Publication, number: int) -> tuple[bytes | memoryview, ...]:
        """Return the pieces of a message; the body is not copied."""
        destination, body, channel = publication.destination, publication.body, self._channel
        method = self._methods.get(destination) or self._method(destination)
        size = len(body)
        if publication.headers or not 0 < size <= self._largest:
            return self._rare(method, publication, number)
        return (
            method,
            _HEADER_AND_START.pack(
                _CONTENT,
                channel,
                _HEADER_BYTES,
                _BASIC,
                0,
                size,
                _FLAGS,
                _PERSISTENT,
                16,
                b"%016x" % number,
                _END,
                _BODY,
                channel,
                size,
            ),
            body,
            _END_BYTE,
        )

    def _method(self, destination: Destination) -> bytes:
        if len(self._methods) >= KNOWN_DESTINATIONS:
            self._methods.clear()
        method = self._methods[destination] = frames.publish_method(
            self._channel, destination.exchange, destination.key
        )
        return method

    def _rare(self, method: bytes, publication: Publication, number: int) -> tuple[bytes | memoryview, ...]:
        """With headers, without a body, or with one that takes several frames."""
        table = _table(publication.headers) if publication.headers else None
        return (
            method,
            *frames.content(self._channel, f"{number:016x}", table, publication.body, self._largest),
        )


def _table(headers: Mapping[str, Any]) -> bytes:
    # Few messages have headers, so that many processes never load this.
    from pamqp import encode  # noqa: PLC0415

    return encode.field_table(dict(headers))
