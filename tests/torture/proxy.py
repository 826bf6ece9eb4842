"""Between one sidecar and RabbitMQ: sees each frame pass, may hold it there, and can cut the line.

Frames by AMQP 0-9-1, section 2.3: type (1), channel (2), size (4), payload, 0xCE. Only the ids of methods are read.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

METHOD, HEADER, BODY = 1, 2, 3
PUBLISH, ACK = (60, 40), (60, 80)
GREETING = b"AMQP"
_HEAD = struct.Struct(">BHL")
_IDS = struct.Struct(">HH")
_BODY_SIZE = struct.Struct(">Q")

Watch = Callable[[str], Awaitable[bool]]


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


class Proxy:
    """Listens on `host`, passes on to a broker on loopback.

    `watch` is awaited at each step while the frame waits; when it returns True the line is cut there and then.
    """

    def __init__(self, port: int, watch: Watch, host: str = "127.0.0.1") -> None:
        self.host, self.port = host, 0
        self._broker_port, self._watch = port, watch
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._connected, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._writers) // 2

    def cut(self) -> int:
        """End every connection with a reset, both ways; return how many there were."""
        cut = list(self._writers)
        for writer in cut:
            writer.transport.abort()
        return len(cut) // 2

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._broker_port)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, up_writer}
        self._writers |= pair
        ways = (self._pass_on(reader, up_writer, from_client=True), self._pass_on(up_reader, writer, from_client=False))
        tasks = [asyncio.create_task(way) for way in ways]
        self._tasks.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for each in pair:
            each.transport.abort()
        self._writers -= pair
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.difference_update(tasks)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_client: bool) -> None:
        frames = Frames()
        with contextlib.suppress(OSError):
            async for data in _chunks(reader):
                ready = bytearray()
                for frame in frames.feed(data):
                    step = frames.step(frame, from_client=from_client)
                    if step is not None:
                        writer.write(bytes(ready))
                        await writer.drain()
                        ready.clear()
                        if await self._watch(step):
                            return
                    ready += frame
                writer.write(bytes(ready))
                await writer.drain()


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while data := await reader.read(65536):
        yield data
