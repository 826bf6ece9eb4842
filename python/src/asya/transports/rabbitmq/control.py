"""Declaring, counting, looking and deleting, on a connection of its own that is opened when first needed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from asya.errors import ConnectionLostError, DeniedError, NoDestinationError, TransportError
from asya.transports.base import Depth, QueueSpec
from asya.transports.naming import QueueNames
from asya.transports.rabbitmq.address import Address
from asya.transports.rabbitmq.engine import Destination
from asya.transports.rabbitmq.ladder import Ladder
from asya.transports.rabbitmq.topology import Broker, Declaration, actor_topology, is_actor, ladder_topology
from asya.transports.settings import RabbitmqSettings

if TYPE_CHECKING:
    from asya.transports.rabbitmq.admin import Admin
    from asya.transports.rabbitmq.dead_letters import RabbitmqDeadLetters
    from asya.transports.rabbitmq.management import Management

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
        self._management = _management(settings.management_url, addresses[0]) if settings.management_url else None
        self._admin: Admin | None = None
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
        """Tell whether a queue exists; True where the broker tells only those who have a permission on it.

        Some do since 4.2.6. A delayed message to nobody is then kept in the ladder's queue of the lost.
        """
        async with self._lock:
            admin = await self._connected()
            try:
                return (await admin.counts([queue]))[queue] is not None
            except DeniedError as error:
                log.info("taking queue %s for there: %s", queue, error)
                return True

    async def depth(self, actors: Sequence[str]) -> dict[str, Depth]:
        """Count per actor; one without a queue is left out."""
        queues = {actor: self._names.queue(actor) for actor in actors if is_actor(actor)}
        levels = [self._ladder.queue(level) for level in range(self._ladder.levels)]
        async with self._lock:
            admin = await self._connected()
            counts = await admin.counts([*queues.values(), *map(self._names.dead_letters, queues), *levels])
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

    @contextlib.asynccontextmanager
    async def open_dead_letters(self, actor: str) -> AsyncIterator[RabbitmqDeadLetters]:
        """Hold the actor's dead letters on a channel of their own."""
        # The administrator's client, as there.
        from asya.transports.rabbitmq.dead_letters import RabbitmqDeadLetters  # noqa: PLC0415

        queue, dead = self._both(actor)
        if not is_actor(actor):
            raise NoDestinationError(actor=actor, queue=dead)
        async with self._lock:
            admin = await self._connected()
        async with admin.holding(dead, actor) as channel:
            yield RabbitmqDeadLetters(
                channel,
                dead,
                Destination(self._exchange, actor, actor, queue),
                delivery_limit=await self._delivery_limit(queue),
                message_bytes=self._settings.message_bytes,
            )

    async def drop(self, actors: Sequence[str]) -> None:
        """Delete the queues and their dead-letter queues."""
        async with self._lock:
            admin = await self._connected()
            await admin.delete(name for actor in filter(is_actor, actors) for name in self._both(actor))

    async def close(self) -> None:
        """Disconnect. Idempotent."""
        admin, self._admin = self._admin, None
        if admin is not None:
            await admin.close()

    async def _declare(self, queues: Sequence[QueueSpec]) -> None:
        async with self._lock:
            admin = await self._connected()
            broker = Broker(admin.version, self._settings.queue_type, self._settings.consumer_timeout_seconds)
            wanted: list[Declaration] = []
            for spec in queues:
                wanted += actor_topology(self._names, self._exchange, spec, broker, self._ladder)
            if not await admin.has_exchange(self._ladder.marker):
                wanted = [*ladder_topology(self._ladder), *wanted]
            problems = await admin.declare(wanted)
        if problems:
            raise TransportError("; ".join(problems))

    async def _delivery_limit(self, queue: str) -> int | None:
        if self._management is None:
            return None
        try:
            return await self._management.delivery_limit(queue)
        except TransportError as error:
            log.info("the delivery limit of queue %s is not known: %s", queue, error)
            return None

    def _both(self, actor: str) -> tuple[str, str]:
        return self._names.queue(actor), self._names.dead_letters(actor)

    async def _connected(self) -> Admin:
        if self._admin is not None and self._admin.alive:
            return self._admin
        # A client that only those load who need it: see there.
        from asya.transports.rabbitmq import admin  # noqa: PLC0415

        problems: list[str] = []
        for address in self._addresses:
            try:
                self._admin = await admin.connect(address)
            except ConnectionLostError as error:
                problems.append(str(error))
            else:
                return self._admin
        raise ConnectionLostError("; ".join(problems))


def _management(url: str, address: Address) -> Management:
    # An HTTP client, which only those load who count by it.
    from asya.transports.rabbitmq.management import Management  # noqa: PLC0415

    return Management(url, address)
