"""A broker that does to the byte what a test says: for what a real one does only when it is broken.

It listens on a loopback port. By itself it lets in, opens and closes channels, and answers questions; it confirms and
delivers nothing unless told to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import pamqp.frame
from pamqp import base, commands
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from asya.transports.rabbitmq.address import Address

SOON = 10.0


class FakePeer:
    """The broker's side of one connection."""

    def __init__(self, broker: FakeBroker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.name = ""
        self.received: list[tuple[int, Any]] = []
        """Channel and frame; bodies are joined as `bytes`."""
        self.largest = 0
        self.heartbeats = 0
        self.gone = False
        self._broker, self._reader, self._writer = broker, reader, writer
        self.reading = asyncio.Event()
        self.reading.set()

    def send(self, *frames: Any, channel: int = 1) -> None:
        """Send frames, or raw bytes."""
        self._writer.write(
            b"".join(each if isinstance(each, bytes) else pamqp.frame.marshal(each, channel) for each in frames)
        )

    def deliver(self, tag: int, body: bytes, *, consumer: str = "1", channel: int = 1) -> None:
        self.send(
            commands.Basic.Deliver(consumer, tag, False, "ex", "key"),
            ContentHeader(body_size=len(body), properties=commands.Basic.Properties()),
            *([ContentBody(body)] if body else []),
            channel=channel,
        )

    def give_back(self, number: int, channel: int = 1) -> None:
        """Return a message as having no queue."""
        props = commands.Basic.Properties(message_id=f"{number:016x}", delivery_mode=2)
        self.send(
            commands.Basic.Return(312, "NO_ROUTE", "ex", "key"),
            ContentHeader(body_size=1, properties=props),
            ContentBody(b"x"),
            channel=channel,
        )

    def of(self, kind: type) -> list[Any]:
        """All frames of one kind that have come."""
        return [frame for _, frame in self.received if isinstance(frame, kind)]

    def close(self) -> None:
        """Cut the connection."""
        self._writer.transport.abort()

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until something has come."""
        async with asyncio.timeout(SOON):
            while not condition():
                self._broker.news.clear()
                await self._broker.news.wait()

    async def run(self) -> None:
        try:
            assert await self._reader.readexactly(8) == b"AMQP\x00\x00\x09\x01"
            if self._broker.first is not None:
                self.send(self._broker.first, channel=0)
            else:
                self.send(commands.Connection.Start(0, 9, {}, self._broker.mechanisms, "en_US"), channel=0)
            while True:
                head = await self._reader.readexactly(7)
                size = int.from_bytes(head[3:])
                data = head + await self._reader.readexactly(size + 1)
                await self.reading.wait()
                self.largest = max(self.largest, len(data))
                _, channel, frame = pamqp.frame.unmarshal(data)
                self._take(channel, frame)
                self._broker.news.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.gone = True
            self._broker.news.set()
            self._writer.close()

    def _take(self, channel: int, frame: Any) -> None:
        if isinstance(frame, pamqp.frame.heartbeat.Heartbeat):
            self.heartbeats += 1
            return
        if isinstance(frame, ContentBody):
            frame = frame.value
        self.received.append((channel, frame))
        if isinstance(frame, commands.Connection.StartOk):
            self.name = str((frame.client_properties or {}).get("connection_name"))
        if isinstance(frame, base.Frame) and (answer := self._broker.answers.get(frame.name)) is not None:
            made = answer(frame)
            if made is not None:
                self.send(made, channel=channel)


class FakeBroker:
    """Connections that were made, and how each is answered; `answers` maps a method's name to what makes the answer."""

    def __init__(self) -> None:
        self.peers: list[FakePeer] = []
        self.first: bytes | None = None
        self.mechanisms = "PLAIN AMQPLAIN"
        self.news = asyncio.Event()
        self.answers: dict[str, Callable[[Any], base.Frame | bytes | None]] = {
            "Connection.StartOk": lambda _: commands.Connection.Tune(2047, 131072, 60),
            "Connection.Open": lambda _: commands.Connection.OpenOk(),
            "Connection.Close": lambda _: commands.Connection.CloseOk(),
            "Channel.Open": lambda _: commands.Channel.OpenOk(),
            "Channel.Close": lambda _: commands.Channel.CloseOk(),
            "Confirm.Select": lambda _: commands.Confirm.SelectOk(),
            "Queue.Declare": lambda frame: commands.Queue.DeclareOk(frame.queue, 0, 0),
            "Basic.Qos": lambda _: commands.Basic.QosOk(),
            "Basic.Consume": lambda frame: commands.Basic.ConsumeOk(frame.consumer_tag),
            "Basic.Cancel": lambda frame: commands.Basic.CancelOk(frame.consumer_tag),
        }
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def address(self, heartbeat: int = 30) -> Address:
        assert self._server is not None
        return Address("127.0.0.1", self._server.sockets[0].getsockname()[1], "guest", "secret", "/", heartbeat)

    def peer(self, purpose: str) -> FakePeer:
        """The newest connection for a purpose."""
        return next(peer for peer in reversed(self.peers) if peer.name == f"asya-{purpose}")

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for peer in self.peers:
            peer.reading.set()
            peer.close()
        await asyncio.gather(*self._tasks)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = FakePeer(self, reader, writer)
        self.peers.append(peer)
        task = asyncio.ensure_future(peer.run())
        self._tasks.add(task)
        await task
