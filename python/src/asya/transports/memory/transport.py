"""A connection to the in-memory broker, behind the transport contract."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from asya.errors import ConnectionLostError, NoDestinationError, TooLargeError, TransportError
from asya.transports.base import Consumer, Delivery, Depth, Limits, Link, Outgoing, QueueSpec, Settle
from asya.transports.memory.broker import Lease, MemoryBroker, MemoryQueue, Subscriber
from asya.transports.memory.clock import Clock
from asya.transports.naming import QueueNames

MESSAGE_BYTES: Final = 16 * 1024 * 1024


class MemoryTransport:
    """One namespace's queues in memory; see `base.Transport` for the contract.

    Several transports share a broker by being given the same `broker`; without one, a new broker with `clock` is made.
    `drop_connection` and `restore_connection` are what a broken network does; other faults are the broker's.
    """

    name = "memory"

    def __init__(
        self,
        names: QueueNames,
        *,
        clock: Clock | None = None,
        broker: MemoryBroker | None = None,
        message_bytes: int = MESSAGE_BYTES,
    ) -> None:
        if broker is not None and clock is not None and broker.clock is not clock:
            raise ValueError("the broker has a clock of its own; give one or the other")
        self.broker = broker or MemoryBroker(clock)
        self.limits = Limits(message_bytes=message_bytes, delays=True, atomic=self.broker.atomic)
        self.link = Link()
        self._names = names
        self._subscribers: list[tuple[MemoryQueue, Subscriber]] = []
        self._open = False

    async def open(self) -> None:
        """Connect; see `base.Transport.open`."""
        self._open = True
        self.link.set(True)

    async def close(self) -> None:
        """Release what is unsettled and disconnect; see `base.Transport.close`."""
        for queue, subscriber in self._subscribers:
            for lease in [lease for lease in queue.out if lease.consumer is subscriber]:
                self.broker.settle(lease, Settle.RELEASE)
            if subscriber in queue.subscribers:
                queue.subscribers.remove(subscriber)
        self._subscribers.clear()
        self._open = False
        self.link.set(False, "closed")

    def drop_connection(self, reason: str = "connection reset") -> None:
        """Break the connection: what was handed out comes again, to others at once, here after `restore_connection`."""
        self.link.set(False, reason)
        for queue, subscriber in self._subscribers:
            subscriber.paused = True
            for lease in [lease for lease in queue.out if lease.consumer is subscriber]:
                self.broker.end(lease)
                self.broker.uncount(lease)

    def restore_connection(self) -> None:
        """Connect again, consumers included."""
        for queue, subscriber in self._subscribers:
            subscriber.paused = False
            self.broker.dispatch_soon(queue)
        self.link.set(True)

    async def declare(self, queues: Sequence[QueueSpec]) -> None:
        """Make queues; see `base.Transport.declare`."""
        self._check_connected()
        self._names.refuse_collisions(spec.actor for spec in queues)
        existing = self.broker.queues
        for spec in queues:
            queue = existing.get(self._names.queue(spec.actor))
            if queue is not None and queue.delivery_limit != spec.delivery_limit:
                raise TransportError(
                    f"the queue {self._names.queue(spec.actor)!r} exists with delivery limit {queue.delivery_limit}, "
                    f"not {spec.delivery_limit}"
                )
        for spec in queues:
            existing.setdefault(self._names.queue(spec.actor), MemoryQueue(spec.delivery_limit))

    async def consume(self, actor: str, credit: int, on_delivery: Callable[[Delivery], None]) -> Consumer:
        """Start to receive; see `base.Transport.consume`."""
        self._check_connected()
        queue, broker = self._queue(actor), self.broker

        def receive(lease: Lease) -> None:
            on_delivery(Delivery(lease.message.body, actor, lease, lease.message.attempts, broker.lease_seconds))

        subscriber = Subscriber(receive, credit)
        queue.subscribers.append(subscriber)
        self._subscribers.append((queue, subscriber))
        broker.dispatch_soon(queue)

        def set_credit(credit: int) -> None:
            subscriber.credit = credit
            broker.dispatch_soon(queue)

        def close() -> asyncio.Future[None]:
            if subscriber in queue.subscribers:
                queue.subscribers.remove(subscriber)
            return _future(lambda: None)

        return Consumer(set_credit, close)

    def publish(self, messages: Sequence[Outgoing]) -> asyncio.Future[None]:
        """Publish; see `base.Transport.publish`."""
        return _future(partial(self._publish, messages))

    def complete(
        self, delivery: Delivery, messages: Sequence[Outgoing] = (), settle: Settle = Settle.ACK
    ) -> asyncio.Future[None]:
        """Publish, then settle; see `base.Transport.complete`."""
        if messages and settle is not Settle.ACK:
            raise ValueError(f"{settle} takes no messages")
        lease = _lease(delivery)

        def work() -> None:
            self.broker.check(lease)  # first: a connection that broke has made the delivery void, which says more
            self._check_connected()
            if messages:
                self._publish(messages, lost_settles=lease if self.broker.atomic else None)
            self.broker.settle(lease, settle)

        return _future(work)

    async def extend(self, delivery: Delivery, seconds: float) -> None:
        """Hold a delivery for `seconds` from now; see `base.Transport.extend`."""
        self._check_connected()
        lease = _lease(delivery)
        self.broker.check(lease)
        self.broker.extend(lease, seconds)

    async def depth(self, actors: Sequence[str]) -> dict[str, Depth]:
        """Count messages; see `base.Transport.depth`."""
        self._check_connected()
        found = {actor: self.broker.queues.get(self._names.queue(actor)) for actor in actors}
        return {actor: self.broker.depth(queue) for actor, queue in found.items() if queue is not None}

    async def dead_letters(self, actor: str, limit: int) -> list[bytes]:
        """Look at dead letters; see `base.Transport.dead_letters`."""
        self._check_connected()
        return [message.body for message in self._queue(actor).dead[:limit]]

    async def drop(self, actors: Sequence[str]) -> None:
        """Delete queues; see `base.Transport.drop`."""
        self._check_connected()
        for actor in actors:
            self.broker.drop(self._names.queue(actor))

    def _publish(self, messages: Sequence[Outgoing], lost_settles: Lease | None = None) -> None:
        self._check_connected()
        for message in messages:
            if len(message.body) > self.limits.message_bytes:
                raise TooLargeError(actor=message.actor, size=len(message.body), limit=self.limits.message_bytes)
        self.broker.may_publish()
        for message in messages:
            self._queue(message.actor)
        for message in messages:
            self.broker.publish(self._names.queue(message.actor), message.body, message.delay)
        try:
            self.broker.confirm()
        except ConnectionLostError:
            if lost_settles is not None:  # one transaction: the settlement happened too, only the answer was lost
                self.broker.settle(lost_settles, Settle.ACK)
            raise

    def _queue(self, actor: str) -> MemoryQueue:
        name = self._names.queue(actor)
        queue = self.broker.queues.get(name)
        if queue is None:
            raise NoDestinationError(actor=actor, queue=name)
        return queue

    def _check_connected(self) -> None:
        if not self._open:
            raise TransportError("the transport is not open")
        if not self.link.connected:
            raise ConnectionLostError(self.link.reason)


def _lease(delivery: Delivery) -> Lease:
    if not isinstance(delivery.token, Lease):
        raise TypeError(f"a delivery of another transport: {delivery.token!r}")
    return delivery.token


def _future(work: Callable[[], None]) -> asyncio.Future[None]:
    """Do `work` now, and give its end as a future."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    try:
        work()
    except TransportError as error:
        future.set_exception(error)
    else:
        future.set_result(None)
    return future
