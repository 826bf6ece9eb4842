"""Between one sidecar and RabbitMQ: sees each frame pass, may hold it there, and can cut the line.

Frames by AMQP 0-9-1, section 2.3: type (1), channel (2), size (4), payload, 0xCE. Only the ids of methods are read.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from dataclasses import dataclass, field

from tests.torture.line import Line

METHOD, HEADER, BODY = 1, 2, 3
PUBLISH, ACK = (60, 40), (60, 80)
GREETING = b"AMQP"
_HEAD = struct.Struct(">BHL")
_IDS = struct.Struct(">HH")
_BODY_SIZE = struct.Struct(">Q")


@dataclass
class Frames:
    """One direction of a connection, cut into frames; `left` holds, by channel, the bytes missing of a body."""

    data: bytearray = field(default_factory=bytearray)
    left: dict[int, int] = field(default_factory=dict)

    def feed(self, more: bytes) -> list[bytes]:
        """Return the frames that are now complete."""
        self.data += more
        found = []
        if self.data.startswith(GREETING) and len(self.data) >= 8:
            found.append(bytes(self.data[:8]))
            del self.data[:8]
        start = 0
        while len(self.data) - start >= _HEAD.size and not self.data.startswith(GREETING, start):
            end = start + _HEAD.size + _HEAD.unpack_from(self.data, start)[2] + 1
            if end > len(self.data):
                break
            found.append(bytes(self.data[start:end]))
            start = end
        del self.data[:start]
        return found

    def step(self, frame: bytes, *, from_client: bool) -> str | None:
        """Name the step of a hop that `frame` is, if it is one.

        A message has been published when its last frame has left its sender; here it is still on its way.
        """
        if frame.startswith(GREETING):
            return None
        kind, channel, _ = _HEAD.unpack_from(frame)
        if kind == METHOD:
            ids = _IDS.unpack_from(frame, _HEAD.size)
            if ids == PUBLISH and from_client:
                self.left[channel] = -1
            elif ids == ACK:
                return "before-ack" if from_client else "before-confirm"
        elif kind == HEADER and self.left.get(channel) == -1:
            (self.left[channel],) = _BODY_SIZE.unpack_from(frame, _HEAD.size + 4)
        elif kind == BODY and channel in self.left:
            self.left[channel] -= len(frame) - _HEAD.size - 1
        if kind in (HEADER, BODY) and self.left.get(channel) == 0:
            del self.left[channel]
            return "after-publish"
        return None


class Proxy(Line):
    """A line to RabbitMQ that knows its frames; a step waits until whoever watches has answered."""

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_client: bool) -> None:
        frames = Frames()
        with contextlib.suppress(OSError):
            async for data in self._chunks(reader):
                ready = bytearray()
                for frame in frames.feed(data):
                    step = frames.step(frame, from_client=from_client)
                    if step is not None:
                        writer.write(bytes(ready))
                        await writer.drain()
                        ready.clear()
                        if await self.watch(step):
                            return
                    ready += frame
                writer.write(bytes(ready))
                await writer.drain()
