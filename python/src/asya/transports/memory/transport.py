"""A connection to the in-memory broker, behind the transport contract."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Final

from asya.errors import ConnectionLostError, NoDestinationError, RefusedError, TooLargeError, TransportError
from asya.transports.base import Consumer, Delivery, Depth, Limits, Link, Outgoing, QueueSpec, Settle, bodies
from asya.transports.memory.broker import Lease, MemoryBroker, MemoryQueue, Subscriber
from asya.transports.memory.clock import Clock
from asya.transports.memory.dead_letters import MemoryDeadLetters
from asya.transports.memory.wire import DirectWire, Wire
from asya.transports.naming import QueueNames

MESSAGE_BYTES: Final = 16 * 1024 * 1024


class MemoryTransport:
    """One namespace's queues in memory; see `base.Transport` for the contract.

    Several transports share a broker by being given the same `broker`; without one, a new broker with `clock` is made.
    `drop_connection` and `restore_connection` are what a broken network does; other faults are the broker's. What goes
    to the broker and comes from it passes `wire`, which may take its time.
    """

    name = "memory"

    def __init__(
        self,
        names: QueueNames,
        *,
        clock: Clock | None = None,
        broker: MemoryBroker | None = None,
        message_bytes: int = MESSAGE_BYTES,
        wire: Wire | None = None,
    ) -> None:
        if broker is not None and clock is not None and broker.clock is not clock:
            raise ValueError("the broker has a clock of its own; give one or the other")
        self.broker = broker or MemoryBroker(clock)
        self.limits = Limits(message_bytes=message_bytes, delays=True, atomic=self.broker.atomic)
        self.link = Link()
        self._names = names
        self.wire: Wire = wire or DirectWire()
        self.subscriptions: list[_Subscription] = []
        self._open = False

    async def open(self) -> None:
        """Connect; see `base.Transport.open`."""
        self._open = True
        self.link.set(True)

    async def close(self) -> None:
        """Release what is unsettled and disconnect; see `base.Transport.close`."""
        with contextlib.suppress(TransportError):  # no connection: the broker takes it all back by itself
            await self.wire.request(self._give_back)
        self._open = False
        self.link.set(False, "closed")

    def _give_back(self) -> None:
        for subscription in self.subscriptions:
            for lease in subscription.leases():
                self.broker.settle(lease, Settle.RELEASE)
            subscription.leave()
        self.subscriptions.clear()

    def drop_connection(self, reason: str = "connection reset") -> None:
        """Break the connection: what was handed out comes again, to others at once, here after `restore_connection`."""
        self.link.set(False, reason)
        self.hang_up(end_leases=True)

    def restore_connection(self) -> None:
        """Connect again, consumers included."""
        self.pick_up()
        self.link.set(True)

    def hang_up(self, *, end_leases: bool, for_good: bool = False) -> None:
        """The broker's part of a broken connection: nothing is handed out; leases end, or run until their time."""
        for subscription in self.subscriptions:
            subscription.subscriber.paused = True
            for lease in subscription.leases() if end_leases else ():
                self.broker.end(lease)
                self.broker.uncount(lease)
            if for_good:
                subscription.leave()

    def pick_up(self) -> None:
        """The broker's part of a connection that is made again, with the credit that was last asked for."""
        for subscription in self.subscriptions:
            subscription.subscriber.paused = False
            subscription.apply_credit()

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
        subscription = _Subscription(self, actor, credit, on_delivery)
        try:
            await self.wire.request(subscription.begin)
        except TransportError:
            subscription.forget()  # with the connection the broker has lost whatever it knew of it
            raise
        return Consumer(subscription.set_credit, subscription.close)

    def publish(self, messages: Sequence[Outgoing]) -> asyncio.Future[None]:
        """Publish; see `base.Transport.publish`."""
        return self.wire.request(partial(self._publish, messages))

    def complete(
        self, delivery: Delivery, messages: Sequence[Outgoing] = (), settle: Settle = Settle.ACK, reason: str = ""
    ) -> asyncio.Future[None]:
        """Publish, then settle; see `base.Transport.complete`."""
        if messages and settle is not Settle.ACK:
            raise ValueError(f"{settle} takes no messages")
        lease = _lease(delivery)

        def publish() -> None:
            self.broker.check(lease)  # first: a connection that broke has made the delivery void, which says more
            self._check_connected()
            if messages:
                self._publish(messages, lost_settles=lease if self.broker.atomic else None)

        def publish_and_settle() -> None:
            publish()
            self.broker.settle(lease, settle, reason)

        if self.broker.atomic or not messages:
            return self.wire.request(publish_and_settle)
        # Two steps, as with a broker whose settlement has no answer: it may be lost, and the message comes again.
        completed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def published(done: asyncio.Future[None]) -> None:
            if completed.done():
                return  # nobody waits any more: the delivery stays unsettled
            error = done.exception()
            if error is not None:
                completed.set_exception(error)
                return
            lease.held = False
            self.wire.tell(partial(self.settle_if_ours, lease, settle))
            completed.set_result(None)

        self.wire.request(publish).add_done_callback(published)
        return completed

    async def extend(self, delivery: Delivery, seconds: float) -> None:
        """Hold a delivery for `seconds` from now; see `base.Transport.extend`."""
        lease = _lease(delivery)

        def work() -> None:
            self._check_connected()
            self.broker.check(lease)
            self.broker.extend(lease, seconds)

        await self.wire.request(work)

    async def depth(self, actors: Sequence[str]) -> dict[str, Depth]:
        """Count messages; see `base.Transport.depth`."""
        self._check_connected()
        found = {actor: self.broker.queues.get(self._names.queue(actor)) for actor in actors}
        return {actor: self.broker.depth(queue) for actor, queue in found.items() if queue is not None}

    async def dead_letters(self, actor: str, limit: int) -> list[bytes]:
        """Look at dead letters; see `base.Transport.dead_letters`."""
        return await bodies(self.open_dead_letters(actor), limit)

    @contextlib.asynccontextmanager
    async def open_dead_letters(self, actor: str) -> AsyncIterator[MemoryDeadLetters]:
        """Open dead letters; see `base.Transport.open_dead_letters`."""
        self._check_connected()
        yield MemoryDeadLetters(self.broker, self.queue_of(actor), actor, self.publish)

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
            if self.queue_of(message.actor).full:
                raise RefusedError("the queue is full", actor=message.actor)
        for message in messages:
            self.broker.publish(self._names.queue(message.actor), message.body, message.delay)
        try:
            self.broker.confirm()
        except ConnectionLostError:
            if lost_settles is not None:  # one transaction: the settlement happened too, only the answer was lost
                self.broker.settle(lost_settles, Settle.ACK)
            raise

    def settle_if_ours(self, lease: Lease, settle: Settle) -> None:
        """Settle a lease that stands; of one that is over, only the credit is given back."""
        if lease in lease.queue.out:
            self.broker.settle(lease, settle)
        else:
            self.broker.uncount(lease)

    def queue_of(self, actor: str) -> MemoryQueue:
        """Return the broker's queue of an actor; raises `NoDestinationError`."""
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


class _Subscription:
    """One consumer. `set_credit` and `close` are the transport's end of the wire, what they ask for is the broker's."""

    def __init__(
        self, transport: MemoryTransport, actor: str, credit: int, on_delivery: Callable[[Delivery], None]
    ) -> None:
        self._transport, self._actor, self._on_delivery = transport, actor, on_delivery
        self.subscriber = Subscriber(self._hand_out, credit)
        self._queue: MemoryQueue | None = None
        self._wanted = credit
        self._closed = False

    def begin(self) -> None:
        self._queue = self._transport.queue_of(self._actor)
        self._queue.subscribers.append(self.subscriber)
        self._transport.subscriptions.append(self)
        self.apply_credit()

    def set_credit(self, credit: int) -> None:
        self._wanted = credit
        self._transport.wire.tell(partial(self._change, credit))

    def close(self) -> asyncio.Future[None]:
        self._closed = True
        return asyncio.ensure_future(self._end())

    async def _end(self) -> None:
        with contextlib.suppress(TransportError):  # no connection: nothing comes by it, and nothing is held
            await self._transport.wire.request(self.leave)

    def apply_credit(self) -> None:
        self._change(self._wanted)

    def leases(self) -> list[Lease]:
        """Return what is in this consumer's hands."""
        out = self._queue.out if self._queue is not None else ()
        return [lease for lease in out if lease.consumer is self.subscriber]

    def leave(self) -> None:
        """Get nothing more."""
        if self._queue is not None and self.subscriber in self._queue.subscribers:
            self._queue.subscribers.remove(self.subscriber)

    def forget(self) -> None:
        """Be as if it had never begun."""
        self._closed = True
        self.leave()
        if self in self._transport.subscriptions:
            self._transport.subscriptions.remove(self)

    def _hand_out(self, lease: Lease) -> None:
        self._transport.wire.hand_out(partial(self._arrived, lease))

    def _arrived(self, lease: Lease) -> None:
        if self._closed:
            self._transport.wire.tell(partial(self._transport.settle_if_ours, lease, Settle.RELEASE))
            return
        lease.held = True
        seconds = self._transport.broker.lease_seconds
        self._on_delivery(Delivery(lease.message.body, self._actor, lease, lease.message.attempts, seconds))

    def _change(self, credit: int) -> None:
        self.subscriber.credit = credit
        if self._queue is not None:
            self._transport.broker.dispatch_soon(self._queue)


def _lease(delivery: Delivery) -> Lease:
    if not isinstance(delivery.token, Lease):
        raise TypeError(f"a delivery of another transport: {delivery.token!r}")
    return delivery.token
