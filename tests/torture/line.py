"""Between one sidecar and its broker: a line that can be cut, be slow, or lead nowhere for a while."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

Watch = Callable[[str], Awaitable[bool]]
LOOPBACK = "127.0.0.1"


class Line:
    """Listens on `host`, passes bytes on to a broker's `target` port on loopback.

    `watch` is awaited at each step of a hop that is seen on the way, while what was seen waits; when it returns True
    the line is cut there and then. Bytes alone show no steps: who understands them says what is one.
    """

    def __init__(self, target: int, watch: Watch, host: str = LOOPBACK) -> None:
        self.host, self.port, self.target = host, 0, target
        self.watch = watch
        self.delay = 0.0
        """Seconds that each piece takes longer, each way."""
        self.turned_away = 0
        """How many connections were ended at once while nobody was let in."""
        self._closed_to_all = False
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

    def turn_away(self) -> None:
        """End every connection, and each new one too."""
        self._closed_to_all = True
        self.cut()

    def let_in(self) -> None:
        """Take connections again."""
        self._closed_to_all = False

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(LOOPBACK, self.target)
        except OSError:
            writer.transport.abort()
            return
        if self._closed_to_all:
            self.turned_away += 1
            writer.transport.abort()
            up_writer.transport.abort()
            return
        pair = {writer, up_writer}
        self._writers |= pair
        tasks = [asyncio.create_task(way) for way in self._ways(reader, writer, up_reader, up_writer)]
        self._tasks.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for each in pair:
            each.transport.abort()
        self._writers -= pair
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.difference_update(tasks)

    def _ways(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> tuple[Awaitable[None], ...]:
        """What runs for one connection, until the first of it ends."""
        return (
            self._pass_on(reader, up_writer, from_client=True),
            self._pass_on(up_reader, writer, from_client=False),
        )

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_client: bool) -> None:
        with contextlib.suppress(OSError):
            async for data in self._chunks(reader):
                writer.write(data)
                await writer.drain()

    async def _chunks(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        while data := await reader.read(65536):
            if self.delay:
                await asyncio.sleep(self.delay)
            yield data
