"""Feeding protocols as an event loop does."""

from __future__ import annotations

import asyncio


def give(protocol: asyncio.BaseProtocol, data: bytes) -> None:
    """Hand over bytes that have come, in as many pieces as a protocol with a buffer of its own has room for."""
    if not isinstance(protocol, asyncio.BufferedProtocol):
        assert isinstance(protocol, asyncio.Protocol)
        protocol.data_received(data)
        return
    rest = memoryview(data)
    while rest:
        room = protocol.get_buffer(len(rest))
        count = min(len(room), len(rest))
        room[:count] = rest[:count]
        protocol.buffer_updated(count)
        rest = rest[count:]
