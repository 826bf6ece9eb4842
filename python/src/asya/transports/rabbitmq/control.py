"""Declaring, counting, looking and deleting, on a connection of its own that is opened when first needed."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from asya.errors import ConnectionLostError, TransportError
from asya.transports.base import Depth, QueueSpec
from asya.transports.naming import QueueNames
from asya.transports.rabbitmq import client
from asya.transports.rabbitmq.address import Address
from asya.transports.rabbitmq.ladder import Ladder
from asya.transports.rabbitmq.management import Management
from asya.transports.rabbitmq.topology import (
    Binding,
    Broker,
    Declaration,
    Exchange,
    Queue,
    actor_topology,
    ladder_topology,
)
from asya.transports.settings import RabbitmqSettings

log = logging.getLogger(__name__)
DECLARE_ATTEMPTS = 3


class Control:
    """The slow side of the transport. One operation at a time."""

    def __init__(
        self,
        names: QueueNames,
        exchange: str,
        ladder: Ladder,
        settings: RabbitmqSettings,
        addresses: Sequence[Address],
    ) -> None:
        self._names, self._exchange, self._ladder, self._settings = names, exchange, ladder, settings
        self._addresses = addresses
        self._management = Management(settings.management_url, addresses[0]) if settings.management_url else None
        self._connection: client.Connection | None = None
        self._lock = asyncio.Lock()

    async def declare(self, queues: Sequence[QueueSpec]) -> None:
        """Declare the shared ladder where it is missing, then each actor's queues.

        Raises:
            TransportError: A queue exists with other properties (all others are declared nevertheless), or a call may
                take longer than the broker allows (nothing is declared).
        """
        self._names.refuse_collisions(spec.actor for spec in queues)
        for left in reversed(range(DECLARE_ATTEMPTS)):
            try:
                await self._declare(queues)
            except ConnectionLostError as error:
                # 3.10 breaks the connection when a quorum queue's tick falls into its making.
                if not left:
                    raise
                log.warning("declaring again: %s", error)
            else:
                return

    async def exists(self, queue: str) -> bool:
        """Tell whether a queue exists."""
        async with self._lock:
            return (await self._counts([queue]))[queue] is not None

    async def depth(self, actors: Sequence[str]) -> dict[str, Depth]:
        """Count per actor; one without a queue is left out."""
        queues = {actor: self._names.queue(actor) for actor in actors}
        levels = [self._ladder.queue(level) for level in range(self._ladder.levels)]
        async with self._lock:
            counts = await self._counts([*queues.values(), *map(self._names.dead_letters, actors), *levels])
        # The delay queues are shared by all actors: that nothing waits is known, who waits is not.
        delayed = None if any(counts[level] for level in levels) else 0
        held = await self._management.unsettled(queues.values()) if self._management is not None else {}
        return {
            actor: Depth(
                ready=ready, in_flight=held.get(queue), delayed=delayed, dead=counts[self._names.dead_letters(actor)]
            )
            for actor, queue in queues.items()
            if (ready := counts[queue]) is not None
        }

    async def dead_letters(self, actor: str, limit: int) -> list[bytes]:
        """Take up to `limit` out without settling them, then close the channel, which puts them back."""
        async with self._lock, self._channel() as channel:
            bodies: list[bytes] = []
            try:
                while len(bodies) < limit:
                    message = await channel.basic_get(self._names.dead_letters(actor))
                    if message.delivery_tag is None:
                        break
                    bodies.append(message.body)
            except client.ChannelNotFoundEntity:
                return []
            return bodies

    async def drop(self, actors: Sequence[str]) -> None:
        """Delete the queues; RabbitMQ takes the deletion of a missing one for done."""
        async with self._lock, self._channel() as channel:
            for actor in actors:
                await channel.queue_delete(self._names.queue(actor))
                await channel.queue_delete(self._names.dead_letters(actor))

    async def close(self) -> None:
        """Disconnect. Idempotent."""
        connection, self._connection = self._connection, None
        await client.close(connection)

    async def _declare(self, queues: Sequence[QueueSpec]) -> None:
        async with self._lock:
            connection = await self._connected()
            broker = Broker(
                client.version(connection), self._settings.queue_type, self._settings.consumer_timeout_seconds
            )
            wanted: list[Declaration] = []
            for spec in queues:
                wanted += actor_topology(self._names, self._exchange, spec, broker, self._ladder)
            if not await self._has_exchange(self._ladder.marker):
                wanted = [*ladder_topology(self._ladder), *wanted]
            problems = await self._declare_all(wanted)
        if problems:
            raise TransportError("; ".join(problems))

    async def _connected(self) -> client.Connection:
        if self._connection is not None and self._connection.is_opened:
            return self._connection
        problems: list[str] = []
        for address in self._addresses:
            try:
                self._connection = await client.connect(address, "control")
            except ConnectionLostError as error:
                problems.append(str(error))
            else:
                return self._connection
        raise ConnectionLostError("; ".join(problems))

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[client.Channel]:
        """A channel for one operation: the broker closes it at the first thing that is not as expected."""
        connection = await self._connected()
        with client.translated():
            channel = await client.open_channel(connection)
            try:
                yield channel
            finally:
                if not channel.is_closed:
                    await channel.close()

    async def _counts(self, queues: Iterable[str]) -> dict[str, int | None]:
        """Return how many messages are ready in each queue, None where there is no such queue."""
        left, counts = deque(queues), dict[str, int | None]()
        while left:
            async with self._channel() as channel:
                while left:
                    queue = left.popleft()
                    try:
                        counts[queue] = (await channel.queue_declare(queue, passive=True)).message_count
                    except client.ChannelNotFoundEntity:
                        counts[queue] = None
                        break
        return counts

    async def _declare_all(self, wanted: Iterable[Declaration]) -> list[str]:
        """Declare in order; go on after what exists with other properties, and return what the broker said about it."""
        left, problems = deque(wanted), list[str]()
        while left:
            async with self._channel() as channel:
                while left:
                    step = left.popleft()
                    try:
                        await _declare(channel, step)
                    except client.ChannelPreconditionFailed as error:
                        problems.append(
                            f"{step.name if not isinstance(step, Binding) else step.key} exists otherwise: {error}"
                        )
                        break
        return problems

    async def _has_exchange(self, name: str) -> bool:
        async with self._channel() as channel:
            try:
                await channel.exchange_declare(name, passive=True)
            except client.ChannelNotFoundEntity:
                return False
            return True


async def _declare(channel: client.Channel, step: Declaration) -> None:
    match step:
        case Exchange(name, kind, arguments):
            await channel.exchange_declare(name, exchange_type=kind, durable=True, arguments=dict(arguments))
        case Queue(name, arguments):
            await channel.queue_declare(name, durable=True, arguments=dict(arguments))
        case Binding(source, key, destination, True):
            await channel.exchange_bind(destination, source, key)
        case Binding(source, key, destination):
            await channel.queue_bind(destination, source, key)
