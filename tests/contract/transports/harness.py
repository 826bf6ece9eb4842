"""What the contract suite needs from each transport: connect, die without a word, wait."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from asya.transports import Delivery, Depth, QueueNames, QueueSpec, Transport
from asya.transports.memory import MemoryBroker, MemoryTransport
from asya.transports.settings import PubsubSettings, RabbitmqSettings, SqliteSettings
from asya.transports.sqlite import SqliteTransport

BOUND = 10.0
"""Seconds within which anything awaited has to happen; the management API of RabbitMQ lags by up to five."""
_numbers = itertools.count()


class Harness(ABC):
    """One broker for one test, in a namespace of its own."""

    has_leases: bool
    """Whether a delivery comes again when its lease runs out, though its connection lives."""
    counts_in_flight = True
    counts_delayed = True
    tells_age = True
    """Whether `Depth` has the age of the oldest message."""
    hides_delayed = False
    """Whether what is delayed counts as ready until somebody has received it too early, and as held from then on."""
    shortest_delay = 0.05
    """Seconds; shorter delays are rounded up to it."""
    shortest_lease = 0.1
    """Seconds; shorter leases are rounded up to it."""
    counts_returns = False
    """Whether a delivery that was given back counts towards the delivery limit."""
    fewest_deliveries = 1
    """The lowest delivery limit that there is."""
    keeps_to_credit = True
    """Whether the broker leaves what one consumer has no credit for to others."""

    def __init__(self) -> None:
        self.names = QueueNames(f"t{secrets.token_hex(4)}")
        self.lease_seconds = 30.0
        self.message_bytes = 4 * 1024 * 1024
        self._transports: list[Transport] = []
        self._declared: set[str] = set()

    @abstractmethod
    def make(self) -> Transport:
        """Return a transport that is not open yet."""

    @property
    def lease(self) -> float:
        """Seconds that a delivery is leased for."""
        return max(self.lease_seconds, self.shortest_lease)

    def queue(self, actor: str) -> str:
        """Name of an actor's queue at the broker."""
        return self.names.queue(actor)

    @abstractmethod
    async def crash(self, transport: Transport) -> None:
        """Let the transport's process die as far as the broker can tell: nothing is released or flushed."""

    async def depth(self, transport: Transport, actor: str) -> Depth:
        """Depth of a queue that must exist, with whatever this test can add to what the broker tells."""
        return (await transport.depth([actor]))[actor]

    async def connect(self, *actors: str, delivery_limit: int = 50) -> Transport:
        """Open a transport, closed at the end of the test, and declare queues for `actors`."""
        transport = self.make()
        self._transports.append(transport)
        await transport.open()
        limit = max(delivery_limit, self.fewest_deliveries)
        await transport.declare([QueueSpec(actor, delivery_limit=limit) for actor in actors])
        self._declared.update(actors)
        return transport

    async def end(self) -> None:
        """Drop what was declared and close every transport."""
        cleaner = self.make()
        await cleaner.open()
        await asyncio.gather(*(transport.close() for transport in self._transports))
        await cleaner.drop(sorted(self._declared))
        await cleaner.close()


class MemoryHarness(Harness):
    """The in-memory broker on the loop's clock, with or without leases."""

    def __init__(self, *, leases: bool = True) -> None:
        super().__init__()
        self.has_leases = leases
        self._broker: MemoryBroker | None = None

    def make(self) -> Transport:
        """Connect to the one broker."""
        if self._broker is None:
            self._broker = MemoryBroker(lease_seconds=self.lease_seconds if self.has_leases else None)
        return MemoryTransport(self.names, broker=self._broker, message_bytes=self.message_bytes)

    async def crash(self, transport: Transport) -> None:
        """Drop the connection for good."""
        assert isinstance(transport, MemoryTransport)
        transport.drop_connection()


class SqliteHarness(Harness):
    """One database file."""

    has_leases = True

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / "queue.db"

    def make(self) -> Transport:
        """Open the file once more; each transport has its own writer and connection, as each process has."""
        return SqliteTransport(
            self.names,
            SqliteSettings(path=self.path, lease_seconds=self.lease_seconds, message_bytes=self.message_bytes),
        )

    async def crash(self, transport: Transport) -> None:
        """Stop the writer without giving back; the leases then run out by themselves."""
        assert isinstance(transport, SqliteTransport)
        receiving, transport._receiving = transport._receiving, None
        assert receiving is not None
        receiving.stop()
        await receiving.writer.stop()
        assert transport._ringer is not None
        transport._ringer.close()


class RabbitmqHarness(Harness):
    """A real broker."""

    has_leases = False
    tells_age = False
    counts_delayed = False
    counts_returns = True
    shortest_delay = 0.2

    def __init__(self, url: str, management_url: str | None, engine: str) -> None:
        super().__init__()
        self._url, self._engine = url, engine
        self._management_url = management_url
        self.counts_in_flight = management_url is not None

    def make(self) -> Transport:
        """Connect to the broker."""
        from asya.transports.rabbitmq import RabbitmqTransport

        settings = RabbitmqSettings(
            url=self._url,
            management_url=self._management_url,
            message_bytes=self.message_bytes,
            engine=self._engine,
        )
        return RabbitmqTransport(self.names, settings)

    async def crash(self, transport: Transport) -> None:
        """Close the connections without settling."""
        from asya.transports.rabbitmq import RabbitmqTransport

        assert isinstance(transport, RabbitmqTransport)
        await transport._session.close()


class PubsubHarness(Harness):
    """Google's emulator."""

    has_leases = True
    counts_returns = True
    shortest_delay = 0.2
    shortest_lease = 1.0
    fewest_deliveries = 5

    def __init__(self, endpoint: str, receive: str) -> None:
        super().__init__()
        self._endpoint, self._receive = endpoint, receive
        self.keeps_to_credit = receive == "pull"

    def make(self) -> Transport:
        """Connect to the emulator."""
        from asya.transports.pubsub import PubsubTransport

        settings = PubsubSettings(
            project="asya-test",
            endpoint=self._endpoint,
            receive=self._receive,
            lease_seconds=self.lease,
            message_bytes=self.message_bytes,
        )
        return PubsubTransport(self.names, settings)

    async def depth(self, transport: Transport, actor: str) -> Depth:
        """Pub/Sub counts what is unacknowledged; what of it is in somebody's hands, these transports know."""
        from asya.transports.pubsub import PubsubTransport

        found = await super().depth(transport, actor)
        held = 0
        for other in self._transports:
            assert isinstance(other, PubsubTransport)
            held += sum(
                token.lost() is None
                for consumer, _ in other._consumers
                if consumer._actor == actor and consumer._subscription.endswith(self.names.queue(actor))
                for token in consumer._out
            )
        return replace(found, ready=found.ready - held, in_flight=held)

    async def crash(self, transport: Transport) -> None:
        """Stop without giving back; the leases then run out by themselves."""
        from asya.transports.pubsub import PubsubTransport

        assert isinstance(transport, PubsubTransport)
        for consumer, delays in transport._consumers:
            await consumer.leases.flush()  # else a lease may last as long as the subscription's
            await consumer.abandon()
            delays.abandon()
        await transport._connection.close()


class Inbox:
    """Collects deliveries; the most that were ever out at once is `most_out`."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.out = 0
        self.most_out = 0
        self._taken = 0
        self._arrived = asyncio.Event()

    def __call__(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        self.out += 1
        self.most_out = max(self.most_out, self.out)
        self._arrived.set()

    @property
    def bodies(self) -> list[bytes]:
        """Everything that ever came."""
        return [delivery.body for delivery in self.deliveries]

    async def take(self, bound: float = BOUND) -> Delivery:
        """Wait for the next delivery."""
        async with asyncio.timeout(bound):
            while self._taken == len(self.deliveries):
                self._arrived.clear()
                await self._arrived.wait()
        self._taken += 1
        return self.deliveries[self._taken - 1]

    async def take_many(self, count: int) -> list[Delivery]:
        """Wait for the next `count` deliveries."""
        return [await self.take() for _ in range(count)]

    def settled(self) -> None:
        """Note that one of them is out no more."""
        self.out -= 1


async def until(holds: Callable[[], Awaitable[bool]], what: str, bound: float = BOUND) -> None:
    """Ask again and again until it holds; fails after `bound` seconds."""
    end = time.monotonic() + bound
    while not await holds():
        assert time.monotonic() < end, f"not within {bound:g} s: {what}"
        await asyncio.sleep(0.02)


async def depth_of(transport: Transport, actor: str) -> Depth:
    """Depth of a queue that must exist."""
    return (await transport.depth([actor]))[actor]


async def depth_becomes(harness: Harness, transport: Transport, actor: str, **expected: int) -> None:
    """Wait for numbers of `Depth`; those that this broker cannot tell are left out."""
    total = None
    if harness.hides_delayed and expected.get("delayed"):
        total = sum(expected.pop(name, 0) for name in ("ready", "in_flight", "delayed"))
    if not harness.counts_in_flight:
        expected.pop("in_flight", None)
    if not harness.counts_delayed:
        expected.pop("delayed", None)
    seen: dict[str, int | None] = {}

    async def same() -> bool:
        found = await harness.depth(transport, actor)
        seen.update({name: getattr(found, name) for name in expected})
        return seen == expected and total in (None, found.ready + (found.in_flight or 0))

    try:
        await until(same, "")
    except AssertionError:
        raise AssertionError(f"depth of {actor!r} is {seen}, expected {expected}") from None


async def nothing_more_comes(transport: Transport, actor: str, inbox: Inbox, consumer_actor_probe: bytes) -> None:
    """Show that a consumer with credit gets only `consumer_actor_probe`, published now: nothing else is before it."""
    from asya.transports import Outgoing

    before = len(inbox.deliveries)
    await transport.publish([Outgoing(actor, consumer_actor_probe)])
    delivery = await inbox.take()
    assert delivery.body == consumer_actor_probe
    assert len(inbox.deliveries) == before + 1
    await transport.complete(delivery)
