"""The broker in memory: queues, leases, and faults on demand.

Everything happens in the order it was asked for; messages are handed out on the next turn of the event loop, to the
consumers of a queue one after the other, so that a run with the same clock and the same calls is the same run.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from asya.errors import ConnectionLostError, LeaseLostError, RefusedError
from asya.transports.base import DELIVERY_LIMIT, Depth, Settle
from asya.transports.memory.clock import Clock, LoopClock, Timer


@dataclass(slots=True, eq=False)
class Message:
    """Bytes in a queue; `order` is its place, `since` when it could first be handed out, or was dead-lettered."""

    body: bytes
    order: int
    since: float
    attempts: int = 0
    reason: str | None = None

    def __lt__(self, other: Message) -> bool:
        return self.order < other.order


@dataclass(slots=True, eq=False)
class Lease:
    """A message in somebody's hands; `counted` towards its consumer's credit until the holder knows that it is over.

    `held`: it has come to the holder, who has not settled it as far as it knows. Both may be news to the broker.
    """

    message: Message
    queue: MemoryQueue
    consumer: Subscriber
    timer: Timer | None = None
    counted: bool = True
    held: bool = False


@dataclass(slots=True, eq=False)
class Subscriber:
    """A consumer; `receive` gets each lease. A paused one (its connection is down) gets nothing."""

    receive: Callable[[Lease], None]
    credit: int
    out: int = 0
    paused: bool = False


@dataclass(slots=True, eq=False)
class MemoryQueue:
    """An actor's queue and its dead letters."""

    delivery_limit: int
    full: bool = False
    ready: list[Message] = field(default_factory=list)
    delayed: dict[Message, Timer] = field(default_factory=dict)
    out: list[Lease] = field(default_factory=list)
    dead: list[Message] = field(default_factory=list)
    subscribers: list[Subscriber] = field(default_factory=list)
    dispatching: bool = False


class MemoryBroker:
    """Holds the queues of any number of connected transports.

    Args:
        clock: Time for delays and leases; the event loop's unless given.
        lease_seconds: How long a delivery may be held without `extend`; None: as long as its connection lives.
        atomic: Whether publishing and settling in one call is one step (as with SQLite) or two (as with RabbitMQ).
    """

    def __init__(self, clock: Clock | None = None, *, lease_seconds: float | None = None, atomic: bool = True) -> None:
        self.clock: Clock = clock or LoopClock()
        self.lease_seconds = lease_seconds
        self.atomic = atomic
        self.queues: dict[str, MemoryQueue] = {}
        self._order = itertools.count()
        self._refusal: str | None = None
        self._lost_confirmations = 0

    # --- faults -----------------------------------------------------------------------------------------------------

    def refuse(self, reason: str | None) -> None:
        """Refuse every publish with `reason` until called with None."""
        self._refusal = reason

    def fill(self, name: str, full: bool = True) -> None:  # noqa: FBT001, FBT002  a switch
        """Have one queue refuse what is published to it, as one that has reached its greatest length; or no more."""
        self.queues[name].full = full

    def lose_confirmations(self, count: int) -> None:
        """Take the next `count` publishes, but let their senders believe that the connection broke."""
        self._lost_confirmations = count

    def redeliver(self, name: str) -> int:
        """End all leases of a queue now, as when they run out; returns how many. Their holders are not told."""
        leases = list(self.queues[name].out)
        for lease in leases:
            self.end(lease)
        return len(leases)

    def duplicate(self, name: str) -> int:
        """Hand out a second copy of whatever is in someone's hands; both can be settled. Returns how many."""
        queue = self.queues[name]
        for lease in queue.out:
            original = lease.message
            self._put(queue, Message(original.body, next(self._order), self.clock.now(), original.attempts))
        return len(queue.out)

    # --- what a transport does --------------------------------------------------------------------------------------

    def may_publish(self) -> None:
        """Raise `RefusedError` while publishes are refused."""
        if self._refusal is not None:
            raise RefusedError(self._refusal)

    def confirm(self) -> None:
        """Raise `ConnectionLostError` when this confirmation is to be lost."""
        if self._lost_confirmations > 0:
            self._lost_confirmations -= 1
            raise ConnectionLostError("the connection broke before the confirmation came")

    def publish(self, name: str, body: bytes, delay: float) -> None:
        """Add a message to a queue that exists."""
        queue = self.queues[name]
        message = Message(body, next(self._order), self.clock.now() + max(0.0, delay))
        if delay <= 0:
            self._put(queue, message)
            return

        def due() -> None:
            del queue.delayed[message]
            message.order = next(self._order)
            self._put(queue, message)

        queue.delayed[message] = self.clock.call_at(message.since, due)

    def check(self, lease: Lease) -> None:
        """Raise `LeaseLostError` when the lease is over."""
        if lease not in lease.queue.out:
            self.uncount(lease)
            raise LeaseLostError("the message was given to somebody else")

    def settle(self, lease: Lease, settle: Settle, reason: str = "") -> None:
        """End a lease that stands, by its holder's wish; a release is no failed attempt."""
        self._forget(lease)
        self.uncount(lease)
        match settle:
            case Settle.ACK:
                pass
            case Settle.RELEASE:
                lease.message.attempts -= 1
                self._put(lease.queue, lease.message)
            case Settle.DEAD_LETTER:
                self._dead_letter(lease, reason or None)

    def end(self, lease: Lease) -> None:
        """End a lease that stands without its holder's wish: the message comes again, or is dead at the limit."""
        self._forget(lease)
        if not lease.held:
            self.uncount(lease)
        if lease.message.attempts >= lease.queue.delivery_limit:
            self._dead_letter(lease, DELIVERY_LIMIT)
        else:
            self._put(lease.queue, lease.message)

    def uncount(self, lease: Lease) -> None:
        """Give the credit of a lease back to its consumer, once."""
        if lease.counted:
            lease.counted = False
            lease.consumer.out -= 1
            self.dispatch_soon(lease.queue)

    def extend(self, lease: Lease, seconds: float) -> None:
        """Let a lease that stands end `seconds` from now."""
        if lease.timer is not None:
            lease.timer.cancel()
            lease.timer = self.clock.call_at(self.clock.now() + seconds, partial(self.end, lease))

    def dispatch_soon(self, queue: MemoryQueue) -> None:
        """Hand out what can be handed out, on the loop's next turn."""
        if not queue.dispatching:
            queue.dispatching = True
            asyncio.get_running_loop().call_soon(self._dispatch, queue)

    def depth(self, queue: MemoryQueue) -> Depth:
        """Count."""
        oldest = min((message.since for message in queue.ready), default=None)
        return Depth(
            ready=len(queue.ready),
            in_flight=len(queue.out),
            delayed=len(queue.delayed),
            dead=len(queue.dead),
            oldest_seconds=None if oldest is None else max(0.0, self.clock.now() - oldest),
        )

    def drop(self, name: str) -> None:
        """Delete a queue with everything in it."""
        queue = self.queues.pop(name, None)
        if queue is None:
            return
        for timer in queue.delayed.values():
            timer.cancel()
        for lease in list(queue.out):
            self._forget(lease)
        queue.delayed.clear()
        queue.ready.clear()

    def take_dead(self, queue: MemoryQueue, message: Message) -> None:
        """Take out a dead letter; raises `LeaseLostError` when it is not there any more."""
        self.check_dead(queue, message)
        queue.dead.remove(message)

    def check_dead(self, queue: MemoryQueue, message: Message) -> None:
        """Raise `LeaseLostError` when a dead letter is not there any more."""
        if message not in queue.dead:
            raise LeaseLostError("the dead letter is gone")

    def _dead_letter(self, lease: Lease, reason: str | None) -> None:
        lease.message.reason, lease.message.since = reason, self.clock.now()
        lease.queue.dead.append(lease.message)

    def _put(self, queue: MemoryQueue, message: Message) -> None:
        heapq.heappush(queue.ready, message)
        self.dispatch_soon(queue)

    def _forget(self, lease: Lease) -> None:
        if lease.timer is not None:
            lease.timer.cancel()
        lease.queue.out.remove(lease)

    def _dispatch(self, queue: MemoryQueue) -> None:
        queue.dispatching = False
        while queue.ready:
            consumer = next((one for one in queue.subscribers if not one.paused and one.out < one.credit), None)
            if consumer is None:
                return
            queue.subscribers.remove(consumer)  # to the end: consumers take turns
            queue.subscribers.append(consumer)
            message = heapq.heappop(queue.ready)
            message.attempts += 1
            lease = Lease(message, queue, consumer)
            queue.out.append(lease)
            consumer.out += 1
            if self.lease_seconds is not None:
                lease.timer = self.clock.call_at(self.clock.now() + self.lease_seconds, partial(self.end, lease))
            consumer.receive(lease)
