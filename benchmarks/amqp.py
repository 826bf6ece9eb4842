"""Fill, count and empty queues of a RabbitMQ from outside the workers, in the same way for all of them."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from pamqp import commands

from benchmarks.alternatives import raw_amqp
from benchmarks.alternatives.contract_id import MESSAGE_ID
from benchmarks.hops import CountError
from benchmarks.payload import FOUND, MIB, numbered

_WINDOW, _WINDOW_BYTES = 1000, 16 * MIB
_ID = MESSAGE_ID.encode()


@dataclass(frozen=True)
class Way:
    """How messages get into a source queue: where to, with which properties, and the body by payload size."""

    exchange: str
    key: str
    properties: dict[str, Any]
    bodies: dict[int, bytes]


@dataclass
class Arrived:
    """What was found in a queue: how often each number, and how many messages without the payload they should have."""

    numbers: Counter[int] = field(default_factory=Counter)
    damaged: int = 0

    def add(self, body: bytes, text: bytes) -> None:
        found = FOUND.search(body)
        if found is None or text not in body:
            self.damaged += 1
        else:
            self.numbers[int(found[1])] += 1

    def check(self, total: int, times: int = 1) -> None:
        """See that numbers 0..total-1 have arrived `times` times each, and nothing else.

        Raises:
            CountError: It is not so.
        """
        lost = sum(1 for number in range(total) if self.numbers[number] < times)
        more = sum(count - times for count in self.numbers.values() if count > times)
        foreign = sum(1 for number in self.numbers if number >= total)
        if lost or more or foreign or self.damaged:
            raise CountError(
                f"of {total} messages {lost} are lost, {more} came too often, {foreign} are foreign "
                f"and {self.damaged} damaged"
            )


class Feeder:
    """Publishes messages of one kind, at most a window of them unconfirmed."""

    def __init__(self, connection: raw_amqp.Connection, way: Way, size: int) -> None:
        self.connection = connection
        self._template = raw_amqp.Template(way.exchange, way.key, way.properties, connection.frame_max)
        self._body = way.bodies[size]
        self._window = max(8, min(_WINDOW, _WINDOW_BYTES // len(self._body)))
        self._sent = self._confirmed = 0
        self._changed = asyncio.Event()
        connection.on_confirm = self._on_confirm
        connection.closed.add_done_callback(lambda _: self._changed.set())

    def send(self, number: int) -> None:
        """Send one, without waiting for anything."""
        fresh = str(uuid.uuid4()).encode()
        body = numbered(self._body.replace(_ID, fresh), number)
        self._sent += 1
        self.connection.write(self._template.message(body, replace=(_ID, fresh)))

    async def fill(self, total: int) -> None:
        """Send numbers 0..total-1 and wait for the last confirmation."""
        for number in range(total):
            if self._sent - self._confirmed >= self._window:
                await self._until(self._sent - self._window // 2)
            self.send(number)
        await self._until(self._sent)

    async def _until(self, confirmed: int) -> None:
        while self._confirmed < confirmed:
            self._changed.clear()
            if self.connection.closed.done():
                raise ConnectionResetError("the broker closed the connection on which messages are published")
            await self._changed.wait()

    def _on_confirm(self, tag: int, multiple: bool) -> None:
        # Only the number counts: the broker confirms each tag once, alone or together with the ones before it.
        self._confirmed = max(self._confirmed, tag) if multiple else self._confirmed + 1
        self._changed.set()


class Queues:
    """Counts, fills and empties queues; an async context manager."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> Self:
        self._connection = await raw_amqp.connect(self._url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._connection.closed.done():
            await self._connection.close()

    async def ready(self, name: str) -> int:
        """Messages that can be delivered now."""
        answer = await self._connection.call(commands.Queue.Declare(queue=name, passive=True))
        return int(answer.message_count)

    async def purge(self, name: str) -> None:
        """Throw away what can be delivered."""
        await self._connection.call(commands.Queue.Purge(queue=name))

    async def fill(self, way: Way, size: int, total: int) -> None:
        """Put `total` messages into the source queue, confirmed."""
        connection = await raw_amqp.connect(self._url, confirm=True)
        await Feeder(connection, way, size).fill(total)
        await connection.close()

    async def drain(self, name: str, expected: int, text: bytes, within: float) -> Arrived:
        """Take everything out of a queue: at least `expected` messages, and what is there beyond them."""
        arrived = Arrived()
        count = 0
        enough = asyncio.Event()

        def on_delivery(_: int, body: bytes) -> None:
            nonlocal count
            count += 1
            arrived.add(body, text)
            if count >= expected:
                enough.set()

        connection = await raw_amqp.connect(self._url)
        connection.on_delivery = on_delivery
        await connection.call(commands.Basic.Consume(queue=name, no_ack=True))
        try:
            async with asyncio.timeout(within):
                await enough.wait()
        except TimeoutError:
            pass  # what is missing is told by the numbers
        await connection.close()
        return arrived
