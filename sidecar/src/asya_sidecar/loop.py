"""The consume loop: deliveries in, decisions carried out, each delivery settled once.

A fixed number of slots take deliveries in turn; no task is made per message. What must wait for something outside (a
missing destination, a broker that refuses) is parked beside the slots, so that other messages go on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec

from asya.errors import LeaseLostError, NoDestinationError, TransportError
from asya.transports import Consumer, Delivery, Settle, Transport
from asya.wire import Envelope, Raw, Route, Status, headers
from asya_sidecar.carry import Carrier
from asya_sidecar.decide import Actor, Away, Decision, Outcome, after_call, before_call, deadline_of, receive
from asya_sidecar.events import Receiver, Reporter, children_event, final_event, fly_event, progress_event
from asya_sidecar.link import RuntimeLink
from asya_sidecar.settings import SidecarSettings
from asya_sidecar.stream import Stream

log = logging.getLogger("asya.loop")

PARKED = 100
"""Messages beside the slots for which more are received; beyond it a missing destination slows the actor down."""
INSTANCE = f"{socket.gethostname()}:{os.getpid()}"

RUNTIME_AWAY, RUNTIME_STOPPING = "no runtime", "the runtime is stopping"
DRAINING, NOT_CONNECTED = "draining", "the broker is not connected"


class _Meta(msgspec.Struct, omit_defaults=True):
    """The envelope without its payload, for the handler; its limit in seconds."""

    id: str
    route: Route
    headers: dict[str, Raw]
    timeout: float
    parent_id: str | None = None
    status: Status | None = None


_encode_meta = msgspec.json.Encoder().encode


class Loop:
    """One actor's consumption. `run` until `drain` has been called and is done."""

    def __init__(
        self,
        transport: Transport,
        actor: Actor,
        carrier: Carrier,
        reporter: Reporter | None,
        settings: SidecarSettings,
        on_failure: Callable[[], None],
    ) -> None:
        self._transport, self._actor, self._carrier, self._reporter = transport, actor, carrier, reporter
        self._settings = settings
        self._on_failure = on_failure
        self.link: RuntimeLink | None = None
        self._inbox: asyncio.Queue[Delivery | None] = asyncio.Queue()
        self._held: dict[int, Delivery] = {}
        self._doubtful: set[int] = set()
        """Held deliveries that were received before the connection broke: they may be void."""
        self._slots: set[asyncio.Task[None]] = set()
        self._wanted = 0
        self._parked: set[asyncio.Task[None]] = set()
        self._blockers: set[str] = {RUNTIME_AWAY}
        self._consumer: Consumer | None = None
        self._consuming = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._leased = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self.failure: BaseException | None = None

    # -- what others tell the loop

    def capacity(self, calls: int) -> None:
        """Take note of how many calls the runtime takes at once."""
        if calls:
            self._resize(self._settings.concurrency or calls)
            self.block(RUNTIME_AWAY, blocked=False)
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
        found = sorted(self._blockers - {RUNTIME_AWAY})
        if RUNTIME_AWAY in self._blockers and self.link is not None:
            found.append(self.link.reason or RUNTIME_AWAY)
        if not self._transport.link.connected:
            found.append(self._transport.link.reason or NOT_CONNECTED)
        if self._consuming:
            found.append(self._consuming)
        return found

    # -- life

    async def start(self) -> None:
        """Subscribe to the actor's queue, waiting for it to exist; nothing is received before a runtime is there."""
        self._transport.link.on_change.append(self._link_changed)
        self._keep(self._subscribe(), "subscribe")
        self._keep(self._keep_leases(), "keep leases")

    async def finish(self, seconds: float, reason: str = RUNTIME_STOPPING) -> bool:
        """Receive nothing more and let running calls end; False when some still run after `seconds`."""
        self.block(reason, blocked=True)
        await self._release_inbox()
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    async def drain(self, seconds: float) -> int:
        """Finish for good; what still runs after `seconds` is released. Returns how many messages that were."""
        if not await self.finish(seconds, DRAINING):
            log.warning("%d messages are still worked on after %g s and are released", len(self._held), seconds)
        for task in (*self._slots, *self._parked):
            task.cancel()
        await asyncio.gather(*self._slots, *self._parked, return_exceptions=True)
        left = list(self._held.values())
        await asyncio.gather(*(self._release(each) for each in left))
        return len(left)

    async def close(self) -> None:
        """Stop every task of the loop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._consumer is not None:
            await self._consumer.close()

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
        self._held[id(delivery)] = delivery
        self._empty.clear()
        if delivery.lease_seconds is not None:
            self._leased.set()
        self._inbox.put_nowait(delivery)

    def _link_changed(self, connected: bool) -> None:  # noqa: FBT001
        if not connected:
            self._doubtful.update(self._held)

    async def _is_void(self, delivery: Delivery) -> bool:
        """Tell whether the broker gives the message to somebody else, so that calling the handler would be in vain."""
        if id(delivery) not in self._doubtful:
            return False
        try:
            await self._transport.extend(delivery, delivery.lease_seconds or 0.0)
        except LeaseLostError:
            return True
        except TransportError as error:
            log.debug("cannot tell whether a delivery is still ours: %s", error)
        return False

    def _credit(self) -> int:
        if self._blockers:
            return 0
        return max(self._settings.prefetch or 0, self._wanted) + min(len(self._parked), PARKED)

    def _set_credit(self) -> None:
        if self._consumer is not None:
            self._consumer.set_credit(self._credit())

    def _resize(self, slots: int) -> None:
        while self._wanted > slots:
            self._wanted -= 1
            self._inbox.put_nowait(None)
        while self._wanted < slots:
            self._wanted += 1
            task = asyncio.get_running_loop().create_task(self._slot(), name="slot")
            self._slots.add(task)
            task.add_done_callback(self._slot_ended)
        self._set_credit()

    def _slot_ended(self, task: asyncio.Task[None]) -> None:
        self._slots.discard(task)
        self._check(task)

    # -- one message

    async def _slot(self) -> None:
        while (delivery := await self._inbox.get()) is not None:
            try:
                await self._handle(delivery)
            except (TransportError, OSError, MemoryError):
                # Not this message's doing: the process ends cleanly, and everything it held goes back.
                await self._release(delivery)
                raise
            except Exception:
                # An error of ours that this message brings about would come again with it for ever: it is put aside.
                log.exception("a message met an error of the sidecar and goes to the dead letters")
                await self._put_aside(delivery)

    async def _handle(self, delivery: Delivery) -> None:
        if self._doubtful and await self._is_void(delivery):
            self._settled(delivery)
            return
        actor, began = self._actor, time.time()
        envelope, decision = receive(delivery.body, actor, began)
        receiver = self._reporter.receiver(envelope) if self._reporter is not None else None
        if decision is None:
            asked = receiver is not None and actor.role == "actor" and actor.sink not in envelope.route.prev
            preflight = await receiver.preflight(envelope.id) if asked and receiver is not None else None
            decision = before_call(envelope, actor, began, preflight)
        if decision is not None:
            await self._conclude(delivery, envelope, decision, receiver, began, ())
            return
        outcome, stream = await self._call(envelope, receiver)
        rest = self._after(delivery, envelope, outcome, stream, receiver, began)
        if stream.waits:
            log.warning("results of a call wait for their destination", extra=_ids(envelope))
            self._aside(rest)
        else:
            await rest

    async def _after(
        self,
        delivery: Delivery,
        envelope: Envelope,
        outcome: Outcome,
        stream: Stream,
        receiver: Receiver | None,
        began: float,
    ) -> None:
        """Go on when the call is over: all results confirmed, the children made known, then the decision."""
        try:
            await stream.flush()
        except asyncio.CancelledError:
            stream.abandon()
            raise
        children = tuple(stream.children)
        if stream.undeliverable:
            decision = Decision(row="too-large", settle=Settle.DEAD_LETTER)
        else:
            if receiver is not None and children and not isinstance(outcome, Away):
                await receiver.final(children_event(envelope, self._actor, children))
            decision = after_call(envelope, outcome, self._actor, time.time())
        await self._conclude(delivery, envelope, decision, receiver, began, children)

    async def _conclude(
        self,
        delivery: Delivery,
        envelope: Envelope,
        decision: Decision,
        receiver: Receiver | None,
        began: float,
        children: Sequence[str],
    ) -> None:
        """Tell about the decision where it is heard, and carry it out."""
        if decision.settle == Settle.RELEASE:
            await self._release(delivery)
            return
        if receiver is not None:
            await self._tell(envelope, decision, receiver, began, children)
        try:
            await self._carrier.complete(delivery, decision)
        except LeaseLostError:
            log.warning("a lease was lost; the message comes again", extra=_ids(envelope))
        except TransportError as error:
            self._park(delivery, envelope, decision, error)
            return
        self._settled(delivery)
        if decision.failure is not None:
            self._log_failure(envelope, decision)

    async def _call(self, envelope: Envelope, receiver: Receiver | None) -> tuple[Outcome, Stream]:
        limit, deadline = self._actor.resiliency.actor_timeout, deadline_of(envelope, self._actor)
        left = None
        if deadline is not None:
            left = max(deadline - time.time(), 0.001)
            limit = min(limit, left)
        meta = _encode_meta(
            _Meta(envelope.id, envelope.route, envelope.headers, limit, envelope.parent_id, envelope.status)
        )
        fly = None if receiver is None else lambda event: receiver.progress(fly_event(envelope, event))
        stream = Stream(envelope, self._actor, self._carrier, fly)
        assert self.link is not None  # noqa: S101  set before anything is received
        call = stream.call = self.link.call(meta, bytes(envelope.payload), limit, stream, left)
        if receiver is not None:
            receiver.progress(progress_event(envelope, self._actor, "processing", {"instance": INSTANCE}))
            receiver.started(envelope.id, call.stop)
        try:
            outcome = await call.done
        except asyncio.CancelledError:
            call.stop()  # the drain's time is over; the message is released, so its call must not go on
            stream.abandon()
            raise
        finally:
            if receiver is not None:
                receiver.ended(envelope.id)
        stream.call = None  # they hold each other: without this, memory waits for the garbage collector
        return outcome, stream

    async def _tell(
        self, envelope: Envelope, decision: Decision, receiver: Receiver, began: float, children: Sequence[str]
    ) -> None:
        data: dict[str, Any] = {
            "row": decision.row,
            "duration_ms": round((time.time() - began) * 1000, 3),
            "to": [send.actor for send in decision.sends],
            "size_bytes": len(bytes(envelope.payload)),
        }
        if children:
            data["children"] = list(children)
        if decision.failure is not None:
            data["error"] = {"type": decision.failure.type, "message": decision.failure.message}
        if decision.cause:
            data["cause"] = decision.cause
        retrying = decision.row == "handler-error"
        if retrying:
            data["delay_s"] = round(decision.sends[0].delay, 3)
        receiver.progress(progress_event(envelope, self._actor, "retrying" if retrying else "completed", data))
        if decision.final is not None:
            await receiver.final(final_event(envelope, decision.final))

    # -- settling

    def _park(self, delivery: Delivery, envelope: Envelope, decision: Decision, error: TransportError) -> None:
        """Carry it out beside the slots, and receive another message for this one's place."""

        async def carry_out() -> None:
            await self._carrier.complete_again(delivery, envelope, decision, error)
            self._settled(delivery)

        log.warning("publishing waits: %s", error, extra=_ids(envelope))
        self._aside(carry_out())

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        """Let `work` go on beside the slots."""
        task = asyncio.get_running_loop().create_task(work, name="parked")
        self._parked.add(task)
        task.add_done_callback(self._unpark)
        self._set_credit()

    def _unpark(self, task: asyncio.Task[None]) -> None:
        self._parked.discard(task)
        self._check(task)
        self._set_credit()

    def _settled(self, delivery: Delivery) -> None:
        self._held.pop(id(delivery), None)
        if self._doubtful:
            self._doubtful.discard(id(delivery))
        if not self._held:
            self._empty.set()

    async def _release(self, delivery: Delivery) -> None:
        try:
            await self._transport.complete(delivery, (), Settle.RELEASE)
        except TransportError as error:
            log.debug("not released, the broker does it when the lease ends: %s", error)
        self._settled(delivery)

    async def _put_aside(self, delivery: Delivery) -> None:
        """Dead-letter a message that cannot be handled; where even that fails, it goes back."""
        try:
            await self._transport.complete(delivery, (), Settle.DEAD_LETTER)
        except TransportError:
            log.exception("not dead-lettered")
            await self._release(delivery)
        self._settled(delivery)

    async def _release_inbox(self) -> int:
        waiting: list[Delivery] = []
        while not self._inbox.empty():
            delivery = self._inbox.get_nowait()
            if delivery is not None:
                waiting.append(delivery)
            else:
                self._wanted += 1
        await asyncio.gather(*(self._release(delivery) for delivery in waiting))
        return len(waiting)

    def _release_if_still_away(self) -> None:
        if RUNTIME_AWAY in self._blockers and not self._inbox.empty():
            self._keep(self._release_prefetched(), "release prefetched")

    async def _release_prefetched(self) -> None:
        count = await self._release_inbox()
        log.warning("%d prefetched messages were released: no runtime", count)

    # -- leases

    async def _keep_leases(self) -> None:
        """Extend every lease when a third of it is over, prefetched messages included."""
        while True:
            await self._leased.wait()
            leases = [each.lease_seconds for each in self._held.values() if each.lease_seconds is not None]
            if not leases:
                self._leased.clear()
                continue
            await asyncio.sleep(min(leases) / 3)
            await asyncio.gather(*(self._extend(each) for each in list(self._held.values())))

    async def _extend(self, delivery: Delivery) -> None:
        if delivery.lease_seconds is None:
            return
        try:
            await self._transport.extend(delivery, delivery.lease_seconds)
        except LeaseLostError:
            if id(delivery) in self._held:  # else it was settled while the question was on its way
                log.warning("a lease was lost while the message was worked on; it comes again")
        except TransportError as error:
            log.warning("a lease could not be extended: %s", error)

    # -- small things

    def _keep(self, coroutine: Any, name: str) -> None:  # noqa: ANN401  a coroutine
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._check(task)

    def _check(self, task: asyncio.Task[None]) -> None:
        """An error of ours ends the process, cleanly; what it held goes back and is handled elsewhere."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        self.failure = error
        log.critical("%s ended by an error of ours", task.get_name(), exc_info=error)
        self._on_failure()

    def _log_failure(self, envelope: Envelope, decision: Decision) -> None:
        failure = decision.failure
        if failure is None:
            return
        where = ", ".join(send.actor for send in decision.sends) or str(decision.settle)
        log.warning(
            "%s: %s: %s → %s",
            decision.row
            if decision.cause in ("", "handler-error", decision.row)
            else f"{decision.row} by {decision.cause}",
            failure.type,
            failure.message[:512],
            where,
            extra={**_ids(envelope), "row": decision.row},
        )


def _ids(envelope: Envelope) -> dict[str, Any]:
    trace = envelope.headers.get(headers.TRACEPARENT)
    return {"envelope": envelope.id, "traceparent": bytes(trace).decode().strip('"') if trace is not None else None}
