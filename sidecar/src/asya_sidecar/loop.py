"""The consume loop: how many messages are received, how many are under way, and when none may be.

A fixed number of slots; a delivery takes one until it is settled (`passage` says how it gets there). What must wait for
something outside (a missing destination, a broker that refuses) is parked beside the slots, so that other messages go
on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from asya.errors import NoDestinationError, TransportError
from asya.policy import CircuitState
from asya.transports import Consumer, Delivery, Transport
from asya_sidecar.carry import Carrier
from asya_sidecar.decide import Actor
from asya_sidecar.events import Reporter
from asya_sidecar.holding import Holding
from asya_sidecar.hop import Hop
from asya_sidecar.link import RuntimeLink
from asya_sidecar.observe import Observer, Tracer
from asya_sidecar.passage import Passage
from asya_sidecar.settings import SidecarSettings

if TYPE_CHECKING:
    from asya_sidecar.gate import Gate

log = logging.getLogger("asya.loop")

PARKED = 100
"""Messages beside the slots for which more are received; beyond it a missing destination slows the actor down."""

RUNTIME_AWAY, RUNTIME_STOPPING = "no runtime", "the runtime is stopping"
DRAINING, NOT_CONNECTED = "draining", "the broker is not connected"
CIRCUIT_OPEN = "circuit of the actor is open"
"""The one reason to receive nothing that does not make the pod unready: others would take its place and fail too."""


class Loop:
    """One actor's consumption: `start`, then `drain` and `close`."""

    def __init__(
        self,
        transport: Transport,
        actor: Actor,
        carrier: Carrier,
        reporter: Reporter | None,
        settings: SidecarSettings,
        on_failure: Callable[[], None],
        observer: Observer | None = None,
        tracer: Tracer | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._transport, self._actor, self._settings = transport, actor, settings
        self._on_failure, self._observer = on_failure, observer
        self._holding = Holding(transport, observer)
        self._passage = Passage(actor, carrier, self._holding, self, reporter, observer, tracer, gate)
        self._gate = gate
        if gate is not None:
            gate.on_change, gate.on_circuit = self._set_credit, self._circuit_changed
            gate.is_stopping = lambda: not self._blockers.isdisjoint((DRAINING, RUNTIME_STOPPING))
        self._inbox: deque[Hop] = deque()
        self._slots = self._busy = self._parked = self._parked_bytes = 0
        self._taking = False
        """Whether a message is being begun further up in the stack."""
        self.received = 0
        """Deliveries so far."""
        self._blockers: set[str] = {RUNTIME_AWAY}
        self._consumer: Consumer | None = None
        self._consuming = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._was_connected = False
        self.failure: BaseException | None = None

    @property
    def link(self) -> RuntimeLink | None:
        """Where the runtime is called; set before anything is received."""
        return self._passage.link

    @link.setter
    def link(self, link: RuntimeLink) -> None:
        self._passage.link = link

    @property
    def held(self) -> int:
        """How many deliveries are unsettled, prefetched ones included."""
        return len(self._holding)

    @property
    def active(self) -> int:
        """How many messages are under way in a slot."""
        return self._busy

    @property
    def waiting(self) -> int:
        """How many messages are parked beside the slots."""
        return self._parked

    @property
    def slots(self) -> int:
        """How many messages may be under way at once."""
        return self._slots

    @property
    def connected(self) -> bool:
        """Whether the broker is."""
        return self._transport.link.connected

    @property
    def blockers(self) -> frozenset[str]:
        """Why nothing is received at present; empty when something may be."""
        return frozenset(self._blockers)

    # -- what others tell the loop

    def capacity(self, calls: int) -> None:
        """Take note of how many calls the runtime takes at once."""
        if calls:
            self._slots = self._settings.concurrency or calls
            self.block(RUNTIME_AWAY, blocked=False)
            self._take()
        else:
            self.block(RUNTIME_AWAY, blocked=True)
            # A worker that is merely being replaced is back in a moment; what was prefetched waits that long.
            asyncio.get_running_loop().call_later(5.0, self._release_if_still_away)

    def runtime_started(self) -> None:
        """Take note of a runtime that has introduced itself: one that was stopping is gone."""
        self.block(RUNTIME_STOPPING, blocked=False)

    def block(self, reason: str, blocked: bool) -> None:  # noqa: FBT001
        """Stop or resume receiving for one reason; it goes on when no reason is left."""
        if blocked:
            self._blockers.add(reason)
        else:
            self._blockers.discard(reason)
        self._set_credit()

    def problems(self) -> list[str]:
        """Say in words why messages are not handled now; empty when they are."""
        found = sorted(self._blockers - {RUNTIME_AWAY, CIRCUIT_OPEN})
        if RUNTIME_AWAY in self._blockers and self.link is not None:
            found.append(self.link.reason or RUNTIME_AWAY)
        if not self._transport.link.connected:
            found.append(self._transport.link.reason or NOT_CONNECTED)
        if self._consuming:
            found.append(self._consuming)
        return found

    @property
    def notices(self) -> list[str]:
        """What people should know although nothing is wrong here: circuits that are not closed."""
        return [] if self._gate is None else self._gate.notices

    # -- life

    async def start(self) -> None:
        """Subscribe to the actor's queue, waiting for it to exist; nothing is received before a runtime is there."""
        self._was_connected = self._transport.link.connected
        self._transport.link.on_change.append(self._link_changed)
        self._keep(self._subscribe(), "subscribe")
        self._keep(self._holding.keep_leases(), "keep leases")

    async def finish(self, seconds: float, reason: str = RUNTIME_STOPPING) -> bool:
        """Receive nothing more and let running calls end; False when some still run after `seconds`."""
        self.block(reason, blocked=True)
        if self._gate is not None:
            self._gate.send_away()
        await self._release_inbox()
        try:
            async with asyncio.timeout(seconds):
                await self._holding.empty()
        except TimeoutError:
            return False
        return True

    async def drain(self, seconds: float) -> int:
        """Finish for good; what still runs after `seconds` is released. Returns how many messages that were."""
        if not await self.finish(seconds, DRAINING):
            log.warning("%d messages are still worked on after %g s and are released", self.held, seconds)
        left = self._holding.all()
        await self._passage.stop(left)
        for hop in left:
            self._holding.remove(hop)
        await asyncio.gather(*(self._holding.release(hop) for hop in left))
        return len(left)

    async def close(self) -> None:
        """Stop every task of the loop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._consumer is not None:
            try:
                await self._consumer.close()
            except Exception:  # nothing is received any more, and the process has more to close
                log.warning("the subscription was not closed cleanly", exc_info=True)

    # -- receiving

    async def _subscribe(self) -> None:
        pause = 0.2
        while True:
            try:
                self._consumer = await self._transport.consume(self._actor.name, self._credit(), self._on_delivery)
            except TransportError as error:
                if not self._consuming:
                    log.warning("cannot receive yet: %s", error)
                self._consuming = str(error)
                await asyncio.sleep(pause if isinstance(error, NoDestinationError) else max(pause, 1.0))
                pause = min(pause * 2, 5.0)
            else:
                self._consuming = ""
                self._set_credit()
                return

    def _on_delivery(self, delivery: Delivery) -> None:
        hop = Hop(self._passage, delivery, time.perf_counter())
        self.received += 1
        self._holding.add(hop)
        if DRAINING in self._blockers:
            self._keep(self._give_back(hop), "give back what came late")
        elif self._inbox or self._taking or self._busy >= self._slots:
            self._inbox.append(hop)
        else:
            self._begin(hop)
            if self._inbox:
                self._take()

    async def _give_back(self, hop: Hop) -> None:
        await self._holding.release(hop)
        self._holding.remove(hop)

    def _take(self) -> None:
        """Begin what waits for a slot, as far as there are any."""
        while self._inbox and self._busy < self._slots and not self._taking:
            self._begin(self._inbox.popleft())

    def _begin(self, hop: Hop) -> None:
        """Give it a slot. One that is parked at once makes room for the next: that is taken afterwards, not within."""
        self._busy += 1
        self._taking = True
        try:
            self._passage.begin(hop)
        finally:
            self._taking = False

    def _link_changed(self, connected: bool) -> None:  # noqa: FBT001
        if connected and self._was_connected and self._observer is not None:
            self._observer.reconnected()
        self._was_connected = self._was_connected or connected

    def _credit(self) -> int:
        if self._blockers:
            return 0
        credit = max(self._settings.prefetch or 0, self._slots)
        if self._parked and self._parked_bytes < self._settings.parked_bytes:
            credit += min(self._parked, PARKED)
        if self._gate is not None:
            credit = self._gate.credit(credit, self.held - len(self._inbox) - self._gate.waiting)
        return credit

    def _set_credit(self) -> None:
        if self._consumer is not None:
            self._consumer.set_credit(self._credit())

    def _circuit_changed(self, state: CircuitState) -> None:
        """Receive nothing while the actor's own circuit is open; what has not begun goes back."""
        self.block(CIRCUIT_OPEN, blocked=state == "open")
        if state == "open" and self._inbox:
            self._keep(self._release_prefetched("the circuit is open"), "release prefetched")

    # -- Slots

    def parked(self, hop: Hop) -> None:
        """See `passage.Slots.parked`: receive another message for this one's place."""
        hop.weight = len(hop.delivery.body) + sum(len(message.body) for message in hop.messages)
        if hop.stream is not None:
            hop.weight += hop.stream.pending_bytes
        self._parked_bytes += hop.weight
        self._busy -= 1
        self._parked += 1
        self._set_credit()
        self._take()

    def unparked(self, hop: Hop) -> None:
        """See `passage.Slots.unparked`: it was here first, so it is begun first."""
        hop.parked = False
        self._parked -= 1
        self._parked_bytes -= hop.weight
        self._inbox.appendleft(hop)
        self._take()
        self._set_credit()

    def ended(self, hop: Hop) -> None:
        """See `passage.Slots.ended`."""
        if hop.parked:
            self._parked -= 1
            self._parked_bytes -= hop.weight
            self._set_credit()
        else:
            self._busy -= 1
            if self._gate is not None:
                self._set_credit()
        if self._inbox:
            self._take()

    def failed(self, error: BaseException) -> None:
        """See `passage.Slots.failed`: what is held goes back when the process drains, and is handled elsewhere."""
        self.failure = error
        log.critical("ended by an error of ours", exc_info=error)
        self._on_failure()

    # -- giving back

    async def _release_inbox(self) -> int:
        waiting = list(self._inbox)
        self._inbox.clear()
        await asyncio.gather(*(self._holding.release(hop) for hop in waiting))
        for hop in waiting:
            self._passage.forget(hop)  # some were parked before, and have begun
        return len(waiting)

    def _release_if_still_away(self) -> None:
        if RUNTIME_AWAY in self._blockers and self._inbox:
            self._keep(self._release_prefetched(RUNTIME_AWAY), "release prefetched")

    async def _release_prefetched(self, why: str) -> None:
        count = await self._release_inbox()
        log.warning("%d prefetched messages were released: %s", count, why)

    # -- tasks

    def _keep(self, coroutine: Any, name: str) -> None:  # noqa: ANN401  a coroutine
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failed(error)
