"""A network between a transport and the real broker that splits, delays, stalls and cuts, by seed."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Self
from urllib.parse import urlsplit, urlunsplit


class Adversary:
    """A TCP proxy on loopback. After `cuts` broken connections it leaves the others alone, so that runs end."""

    def __init__(self, url: str, seed: int, *, cuts: int = 4) -> None:
        self._parts = urlsplit(url)
        self._chance = random.Random(seed)
        self._left = cuts
        self._server: asyncio.Server | None = None
        self._ways: set[asyncio.Task[None]] = set()
        self.connections = self.cuts = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for way in self._ways:
            way.cancel()
        await asyncio.gather(*self._ways, return_exceptions=True)

    @property
    def url(self) -> str:
        """The broker's address by way of this network."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        user = self._parts.netloc.rpartition("@")[0]
        return urlunsplit(self._parts._replace(netloc=f"{user}@127.0.0.1:{port}" if user else f"127.0.0.1:{port}"))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            there = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        except OSError:
            writer.close()
            return
        chance = random.Random(self._chance.getrandbits(64))
        # Most connections live long enough to begin; some break in the middle of their handshake.
        budget = chance.choice((300, 3_000, 8_000, 20_000)) if self._left > 0 else None
        self._left -= budget is not None
        both = (writer, there[1])
        for source, sink in ((reader, there[1]), (there[0], writer)):
            way = asyncio.get_running_loop().create_task(self._carry(source, sink, both, chance, budget))
            self._ways.add(way)
            way.add_done_callback(self._ways.discard)

    async def _carry(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        both: tuple[asyncio.StreamWriter, ...],
        chance: random.Random,
        budget: int | None,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(chance.choice((1, 7, 64, 4096, 65536))):
                if budget is not None:
                    budget -= len(data)
                    if budget <= 0:
                        sink.write(data[: chance.randrange(len(data))])  # some of it still arrives
                        self.cuts += 1
                        break
                draw = chance.random()
                if draw < 0.02:
                    await asyncio.sleep(0.2 * chance.random())
                elif draw < 0.2:
                    await asyncio.sleep(0.003 * chance.random())
                sink.write(data)
                await sink.drain()
        for writer in both:
            if chance.random() < 0.5:
                writer.transport.abort()
            else:
                writer.close()
