"""The contract of a transport.

A transport belongs to one namespace. It moves bytes between the queues of actors, addressed by actor name; how a queue
is called at the broker is `naming`'s business. Delivery is at least once: what replaces a message is confirmed by the
broker before the message is settled, and each delivery is settled exactly once.

The hot path is three calls: `on_delivery` (in), `publish` (a result while the call still runs) and `complete` (results
and settlement together). They return futures instead of being coroutines so that no task is made per message; a caller
may await them all the same. Everything runs on one event loop; nothing here is thread-safe.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Protocol

from asya.errors import NoDestinationError

DELIVERY_LIMIT: Final = "delivery-limit"
"""Why the broker itself dead-letters, as the truth table calls it."""


class Settle(Enum):
    """What becomes of a delivery at the broker."""

    ACK = "ack"
    """Done with; gone from the queue."""
    RELEASE = "release"
    """Back into the queue for anyone, at once, without waiting for the lease to end."""
    DEAD_LETTER = "dead-letter"
    """Into the actor's dead-letter queue, bytes unchanged."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to publish: bytes for an actor's queue, seconds to wait before it may be delivered."""

    actor: str
    body: bytes
    delay: float = 0.0


@dataclass(slots=True)
class Delivery:
    """One message as the broker handed it out.

    `token` is the transport's own means to settle it. `attempts` counts deliveries of this message including this one,
    as far as the broker knows (1 = first). `lease_seconds` is how long the broker lets it be held without `extend`;
    None means for as long as the connection lives.
    """

    body: bytes
    actor: str
    token: Any
    attempts: int = 1
    lease_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Depth:
    """How much is in a queue: deliverable now, handed out and not settled, waiting for its delay, dead letters.

    A number that the broker cannot tell is None. `oldest_seconds` is the age of the oldest ready message.
    """

    ready: int
    in_flight: int | None
    delayed: int | None
    dead: int | None
    oldest_seconds: float | None = None

    @property
    def backlog(self) -> int:
        """What an autoscaler counts: ready and in flight."""
        return self.ready + (self.in_flight or 0)


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """An actor's queue as it should be.

    `delivery_limit`: deliveries without settlement before the broker dead-letters the message by itself.
    `call_seconds`: the longest a delivery will be held by one call (the actor's timeout), for leases and broker limits.
    """

    actor: str
    delivery_limit: int = 50
    call_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a transport can carry. Sizes in bytes, times in seconds."""

    message_bytes: int
    delays: bool = True
    atomic: bool = False
    """True when `complete` publishes and settles in one transaction."""
    hold_seconds: float | None = None
    """Longest time that a delivery can be held, however often its lease is extended; None: as long as one likes."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message in a dead-letter queue. `token` is the transport's own means to settle it.

    `reason`: the row of the truth table by which the sidecar dead-lettered it (`sump-failed`, `too-large`), or
    `delivery-limit` when the broker did; other words of a transport or broker (`expired`); None when nobody said.
    `attempts`: how often it had been delivered, None where that is not known. `since`: when it was dead-lettered in
    Unix seconds; where nobody says that, when it was published; None where that is not known either. `tags`: what else
    the broker tells of it, in the broker's own words.
    """

    body: bytes
    actor: str
    token: Any
    reason: str | None = None
    attempts: int | None = None
    since: float | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


class DeadLetters(Protocol):
    """One actor's dead letters in the hands of whoever looks after them; for operators, not for sidecars.

    What was browsed may be hidden from others until the context that it came from ends; what was neither redriven nor
    dropped is then in the queue as before. Where the broker hands out under a lease, the lease is kept alive meanwhile.
    """

    def browse(self) -> AsyncIterator[DeadLetter]:
        """Yield what is in the queue and not in somebody else's hands, oldest first as far as the broker keeps order.

        Each message comes once for as long as the context lives.
        """

    async def redrive(self, letter: DeadLetter, body: bytes | None = None) -> None:
        """Publish to the actor's queue (`body` instead of the letter's own, if given), and settle when it is confirmed.

        The broker counts deliveries from the beginning. Between the two steps a crash leaves both copies, never none;
        an atomic transport knows no between.

        Raises:
            LeaseLostError: It is somebody else's by now. It may have been published all the same, unless atomic.
            TransportError: As `Transport.publish`; the dead letter stays.
        """

    async def drop(self, letter: DeadLetter) -> None:
        """Take a dead letter out for good.

        Raises:
            LeaseLostError: It is somebody else's by now.
        """


@dataclass(slots=True)
class Consumer:
    """A running subscription to one actor's queue.

    `credit` is how many unsettled deliveries may be out at once; `set_credit(0)` stops receiving without giving
    anything back, a positive number resumes. `close` stops receiving and releases what was received but not handed to
    `on_delivery`.
    """

    set_credit: Callable[[int], None]
    close: Callable[[], asyncio.Future[None]]


@dataclass(slots=True)
class Link:
    """What a transport tells about its connection; `on_change` is called with True (connected) or False."""

    connected: bool = False
    reason: str = ""
    on_change: list[Callable[[bool], None]] = field(default_factory=list)

    def set(self, connected: bool, reason: str = "") -> None:  # noqa: FBT001
        """Note the state and tell whoever listens, once per change."""
        if connected == self.connected and reason == self.reason:
            return
        changed, self.connected, self.reason = connected != self.connected, connected, reason
        if changed:
            for listener in list(self.on_change):
                listener(connected)


class Transport(Protocol):
    """One namespace's queues. Errors are `asya.errors.TransportError`s only."""

    name: str
    limits: Limits
    link: Link

    async def open(self) -> None:
        """Connect. Retries with back-off while the broker cannot be reached; a `DeniedError` is raised at once.

        Idempotent. When the connection breaks later it is made again without being asked, consumers included;
        deliveries of the old connection are then void (`LeaseLostError`) and come again.
        """

    async def close(self) -> None:
        """Release what is unsettled, flush, disconnect. Idempotent."""

    async def declare(self, queues: Sequence[QueueSpec]) -> None:
        """Make the queues, their dead-letter queues and what delays need, where they do not exist. Idempotent.

        A queue that exists with other properties is left as it is and reported by `TransportError`.
        """

    async def consume(self, actor: str, credit: int, on_delivery: Callable[[Delivery], None]) -> Consumer:
        """Start to receive. `on_delivery` is called on the loop, must not block, and never more than `credit` are out.

        Raises:
            NoDestinationError: The actor has no queue.
        """

    def publish(self, messages: Sequence[Outgoing]) -> asyncio.Future[None]:
        """Publish; the future is done when the broker has confirmed every message.

        Fails with `TooLargeError` (nothing was published), `NoDestinationError` (of the first such message; others may
        have been published), `RefusedError`, `ConnectionLostError` (unknown whether it arrived). No retry happens
        inside.
        """

    def complete(
        self, delivery: Delivery, messages: Sequence[Outgoing] = (), settle: Settle = Settle.ACK, reason: str = ""
    ) -> asyncio.Future[None]:
        """Publish `messages`, wait for their confirmation, then settle `delivery`.

        With `DEAD_LETTER`, `reason` is kept beside the message: see `DeadLetter.reason`.

        On failure of a publish the delivery is not settled and stays leased: the caller decides what now. Fails as
        `publish` does, and with `LeaseLostError` when the delivery had been given to somebody else (an atomic transport
        has then published nothing). `RELEASE` and `DEAD_LETTER` take no messages.
        """

    async def extend(self, delivery: Delivery, seconds: float) -> None:
        """Hold `delivery` for `seconds` from now. Nothing to do where leases live as long as the connection.

        Raises:
            LeaseLostError: It was already given to somebody else.
        """

    async def depth(self, actors: Sequence[str]) -> dict[str, Depth]:
        """Count messages per queue; an actor without a queue is left out."""

    async def dead_letters(self, actor: str, limit: int) -> list[bytes]:
        """Look at up to `limit` bodies in the actor's dead-letter queue, oldest first, without taking them out."""

    def open_dead_letters(self, actor: str) -> AbstractAsyncContextManager[DeadLetters]:
        """Return a context in which the actor's dead letters can be browsed, redriven and dropped.

        Raises:
            NoDestinationError: When entered: the actor has no dead-letter queue.
        """

    async def drop(self, actors: Sequence[str]) -> None:
        """Delete the queues and their dead-letter queues with everything in them. Idempotent."""


async def bodies(opened: AbstractAsyncContextManager[DeadLetters], limit: int) -> list[bytes]:
    """Return up to `limit` bodies of dead letters; none where there is no such queue."""
    found: list[bytes] = []
    try:
        async with opened as letters:
            async for letter in letters.browse():
                if len(found) >= limit:
                    break
                found.append(letter.body)
    except NoDestinationError:
        return []
    return found
