"""Receiving from a queue that is asked for messages and gives them out under leases: credit, heartbeat, giving back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from asya.errors import LeaseLostError, TransportError
from asya.transports.base import Delivery, Link
from asya.transports.parts.backoff import Backoff

log = logging.getLogger(__name__)
LOOK_SECONDS: Final = 1.0
"""How often a source is tended at least."""
CLOSE_SECONDS: Final = 6.0
"""How long the end of a question that is under way is waited for."""


class Received(NamedTuple):
    """A message as it came from the broker; `id` is what it is settled by, and nobody else's."""

    id: Hashable
    body: bytes
    attempts: int


class Source(Protocol):
    """One queue at the broker. Every method may raise `TransportError`; what can be tried again is."""

    lease_seconds: float

    async def receive(self, count: int) -> Sequence[Received]:
        """Wait for some time for up to `count` messages, which are then ours for `lease_seconds`."""

    def interrupt(self) -> None:
        """End the waiting of `receive`, without losing what it may have received. Must not block."""

    async def release(self, id_: Hashable) -> None:
        """Give back at once what was received and not handed out."""

    async def extend(self, leases: Mapping[Hashable, float]) -> Collection[Hashable]:
        """Hold messages for so many seconds from now; return which are not ours any more."""

    async def tend(self) -> float:
        """Do what somebody has to do for the queue now and then; return for how many seconds that is enough."""

    async def close(self) -> None:
        """Disconnect."""


@dataclass(slots=True, eq=False)
class Held:
    """Means to settle one delivery, which `consumer` has handed out.

    `until`: the monotonic time to which it is to be held; `leased`: the one to which the broker holds it for us.
    """

    id: Hashable
    until: float
    leased: float
    consumer: LeasedConsumer

    def settled(self) -> None:
        """Note that it is out no more."""
        self.consumer.forget([self.id])

    @property
    def lost(self) -> bool:
        """Whether it was settled, or may be somebody else's, by what the broker has said or by our clock."""
        return self.id not in self.consumer.out or time.monotonic() >= self.leased


def lost() -> LeaseLostError:
    """Return what is said of a delivery that is not ours any more."""
    return LeaseLostError("the delivery was settled, or its lease was over")


class LeasedConsumer:
    """Hands out an actor's messages; `out` is what was handed out and is not settled."""

    def __init__(
        self, source: Source, link: Link, actor: str, credit: int, on_delivery: Callable[[Delivery], None]
    ) -> None:
        self.actor, self.out = actor, dict[Hashable, Held]()
        self._source, self._link, self._credit, self._on_delivery = source, link, credit, on_delivery
        self._room, self._poked, self._ended = asyncio.Event(), asyncio.Event(), False
        self._giving_back: set[asyncio.Task[None]] = set()
        self._beating: asyncio.Task[None] | None = None
        self._reader, self._keeper = _start(self._read()), _start(self._keep())

    def set_credit(self, credit: int) -> None:
        """See `Consumer.set_credit`."""
        if credit < 0:
            raise ValueError(f"credit is {credit}, expected 0 or more")
        if credit < self._credit:
            self._source.interrupt()
        self._credit = credit
        self._room.set()

    def poke(self) -> None:
        """Have the source tended now."""
        self._poked.set()

    def forget(self, ids: Collection[Hashable]) -> None:
        """Note that deliveries are out no more."""
        for id_ in ids:
            self.out.pop(id_, None)
        self._room.set()

    async def extend(self, held: Held, seconds: float) -> None:
        """See `Transport.extend`; all that are asked for in one turn of the loop go in one call."""
        if not held.lost:
            held.until = time.monotonic() + seconds
            await self._beat()
        if held.lost:
            held.settled()
            raise lost()

    async def close(self) -> None:
        """Receive nothing more; what comes meanwhile goes back. What is held stays held. Idempotent."""
        self._ended = True
        self._room.set()
        end = time.monotonic() + CLOSE_SECONDS
        while not self._reader.done():
            if time.monotonic() > end or not self._link.connected:
                self._reader.cancel()
            # Again and again: it may have been on its way to the broker, where nothing was to be interrupted yet.
            self._source.interrupt()
            await asyncio.wait({self._reader}, timeout=0.05)
        if self._giving_back:
            await asyncio.wait(self._giving_back, timeout=CLOSE_SECONDS)

    async def stop(self) -> None:
        """Close, and let the leases of what is held run out."""
        await self.close()
        self._keeper.cancel()
        await asyncio.wait({self._keeper})
        await self._source.close()

    async def _read(self) -> None:
        backoff, trouble = Backoff(), ""
        while not self._ended:
            free = self._credit - len(self.out)
            if free <= 0:
                self._room.clear()
                await self._room.wait()
                continue
            try:
                received = await self._source.receive(free)
            except TransportError as error:
                if str(error) != trouble and not self._ended:
                    trouble = str(error)
                    log.error("no messages are received for %s at present: %s", self.actor, error)  # noqa: TRY400
                await backoff.wait()
                continue
            if trouble:
                log.warning("messages for %s are received again", self.actor)
            backoff, trouble = Backoff(), ""
            for each in received:
                self._hand_out(each)

    def _hand_out(self, received: Received) -> None:
        if self._ended or len(self.out) >= self._credit:
            task = _start(self._release(received.id))
            self._giving_back.add(task)
            task.add_done_callback(self._giving_back.discard)
            return
        lease = self._source.lease_seconds
        end = time.monotonic() + lease
        held = self.out[received.id] = Held(received.id, end, end, self)
        try:
            self._on_delivery(Delivery(received.body, self.actor, held, received.attempts, lease))
        except Exception as error:  # noqa: BLE001  one message's fault must not stop the others
            asyncio.get_running_loop().call_exception_handler({"message": "on_delivery failed", "exception": error})

    async def _release(self, id_: Hashable) -> None:
        try:
            await self._source.release(id_)
        except TransportError as error:
            log.debug("not given back, it comes again when the lease ends: %s", error)

    async def _keep(self) -> None:
        """Have the source tended, and leases that are to last longer prolonged before the last third of them."""
        third = self._source.lease_seconds / 3
        while True:
            self._poked.clear()
            wait = min(LOOK_SECONDS, third)
            try:
                wait = min(wait, await self._source.tend())
                self.forget([held.id for held in self.out.values() if held.lost])
                now = time.monotonic()
                if any(now + 2 * third > held.leased < held.until for held in self.out.values()):
                    await self._beat()
            except TransportError as error:
                log.debug("looked after again in a moment: %s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._poked.wait()

    def _beat(self) -> asyncio.Future[None]:
        if self._beating is None:
            self._beating = _start(self._extend_all())
        return asyncio.shield(self._beating)

    async def _extend_all(self) -> None:
        self._beating = None  # who asks from now on is not seen by this one
        now, all_held = time.monotonic(), list(self.out.values())
        if all_held:
            leases = {held.id: max(0.0, held.until - now) for held in all_held}
            self.forget(await self._source.extend(leases))
            for held in all_held:
                held.leased = now + min(leases[held.id], self._source.lease_seconds)


def _start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(_report)
    return task


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, TransportError):
        task.get_loop().call_exception_handler({"message": "receiving has stopped", "exception": error, "task": task})
