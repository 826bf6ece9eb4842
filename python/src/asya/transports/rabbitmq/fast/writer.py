"""What goes out: collected for one turn of the loop, then handed to the network in one go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

COPIED_BYTES = 16_384
"""Pieces up to this size are joined; larger ones are handed over as they are, which costs more each but no copy."""
TURN_BYTES = 262_144
"""How much of messages a turn collects at most; then it is handed over, so that the network can say that it is full."""


class Writer:
    """The outgoing side of one connection. What is written after the connection has ended goes nowhere."""

    def __init__(self) -> None:
        self.idle = True
        """Whether nothing was sent since it was last set; for heartbeats."""
        self._transport: asyncio.WriteTransport | None = None
        self._loop = asyncio.get_running_loop()
        self._pieces: list[bytes | memoryview] = []
        self._late: list[Callable[[], bytes]] = []
        self._scheduled = False
        self._large = False
        self._collected = 0

    def start(self, transport: asyncio.WriteTransport) -> None:
        """Send by this transport."""
        self._transport = transport

    def write(self, piece: bytes) -> None:
        """Put one piece on its way."""
        self._pieces.append(piece)
        if not self._scheduled:
            self._schedule()

    def write_all(self, pieces: Iterable[bytes | memoryview], body_bytes: int) -> None:
        """Put the pieces of a message on their way."""
        self._pieces += pieces
        if body_bytes > COPIED_BYTES:
            self._large = True
        self._collected += body_bytes
        if self._collected > TURN_BYTES:
            self.flush()
        elif not self._scheduled:
            self._schedule()

    def write_late(self, pieces: Callable[[], bytes]) -> None:
        """Ask for whole frames when everything else of this turn has been written."""
        self._late.append(pieces)
        if not self._scheduled:
            self._schedule()

    def flush(self) -> None:
        """Hand to the network now what is to be sent in this turn."""
        self._scheduled = False
        self._collected = 0
        pieces = self._pieces
        if self._late:
            pieces += [late() for late in self._late]
            self._late.clear()
        if not pieces:
            return
        self._pieces = []
        large, self._large = self._large, False
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self.idle = False
        if large:
            transport.writelines(_joined(pieces))
        else:
            transport.write(b"".join(pieces))

    def stop(self) -> None:
        """Send nothing more."""
        self._transport = None
        self._pieces, self._late = [], []

    def _schedule(self) -> None:
        self._scheduled = True
        self._loop.call_soon(self.flush)


def _joined(pieces: list[bytes | memoryview]) -> list[bytes | memoryview]:
    """Join what lies between large pieces."""
    found: list[bytes | memoryview] = []
    small: list[bytes | memoryview] = []
    for piece in pieces:
        if len(piece) > COPIED_BYTES:
            found += (b"".join(small), piece)
            small = []
        else:
            small.append(piece)
    found.append(b"".join(small))
    return found
