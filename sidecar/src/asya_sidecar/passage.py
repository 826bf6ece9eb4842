"""One message's way through the actor: read, called, decided, carried out, settled.

The usual way is a chain of plain calls, each begun by what it waited for: no task and no future is made for it beyond
the transport's own. Where something outside must be awaited (a receiver of reports, results on their way, a delivery
that may be void), a task goes on with the same steps.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from asya.errors import LeaseLostError, TransportError
from asya.transports import Settle
from asya.wire import Envelope, Raw, Route, Status, headers
from asya_sidecar.carry import Carrier
from asya_sidecar.decide import Actor, Away, Decision, Outcome, Result, after_call, before_call, deadline_of, receive
from asya_sidecar.events import Reporter, children_event, final_event, fly_event, passed_event, progress_event
from asya_sidecar.holding import Holding
from asya_sidecar.hop import Hop, Results
from asya_sidecar.link import RuntimeLink
from asya_sidecar.observe import Observer, Tracer
from asya_sidecar.stream import Stream

if TYPE_CHECKING:
    from asya_sidecar.gate import Gate, Sending

log = logging.getLogger("asya.loop")
_UNHARMED = "an error of the sidecar's met a message that is settled already; its slot is free"
_clock = time.perf_counter
INSTANCE = f"{socket.gethostname()}:{os.getpid()}"


class _Meta(msgspec.Struct, omit_defaults=True):
    """The envelope without its payload, for the handler; its limit in seconds."""

    id: str
    route: Route
    headers: dict[str, Raw]
    timeout: float
    parent_id: str | None = None
    status: Status | None = None


_encode_meta = msgspec.json.Encoder().encode


class Slots(Protocol):
    """Who counts the messages under way."""

    def parked(self, hop: Hop) -> None:
        """It waits beside the slots from now on."""

    def unparked(self, hop: Hop) -> None:
        """It may go on; begin it again when there is a slot."""

    def ended(self, hop: Hop) -> None:
        """It is settled, or no longer ours."""

    def failed(self, error: BaseException) -> None:
        """An error of ours must end the process."""


class Passage:
    """Takes hops from `begin` to their settlement. See `hop.Way`."""

    def __init__(
        self,
        actor: Actor,
        carrier: Carrier,
        holding: Holding,
        slots: Slots,
        reporter: Reporter | None,
        observer: Observer | None,
        tracer: Tracer | None,
        gate: Gate | None,
    ) -> None:
        self._actor, self._carrier, self._holding, self._slots = actor, carrier, holding, slots
        self._gate = gate
        self._reporter, self._observer, self._tracer = reporter, observer, tracer
        self._tasks: set[asyncio.Task[None]] = set()
        self.link: RuntimeLink | None = None

    # -- begin

    def begin(self, hop: Hop) -> None:
        """Take a delivery on its way, or on its further way when it was parked before its call."""
        again = hop.begun
        hop.begun = again or _clock()
        if again:
            self._guarded(hop, self._resume)
        elif self._holding.is_doubtful(hop):
            self._wait(hop, self._begin_if_ours(hop))
        else:
            self._guarded(hop, self._read)

    async def _begin_if_ours(self, hop: Hop) -> None:
        if await self._holding.is_void(hop):
            self._let_go(hop)
        else:
            self._read(hop)

    def _read(self, hop: Hop) -> None:
        hop.began_at = time.time()
        hop.envelope, decision = receive(hop.delivery.body, self._actor, hop.began_at)
        if self._tracer is not None:
            self._tracer.begin(hop)
        if self._reporter is not None:
            hop.receiver = self._reporter.receiver(hop.envelope)
        if decision is not None:
            self._conclude(hop, decision)
        else:
            self._check(hop, hop.began_at)

    def _check(self, hop: Hop, now: float) -> None:
        """See whether it may be called; who hears of the task is asked first."""
        if hop.receiver is not None and self._may_be_stopped(hop.envelope):
            self._wait(hop, self._ask(hop))
        else:
            self._look(hop, before_call(hop.envelope, self._actor, now))

    def _may_be_stopped(self, envelope: Envelope) -> bool:
        return self._actor.role == "actor" and self._actor.sink not in envelope.route.prev

    async def _ask(self, hop: Hop) -> None:
        assert hop.receiver is not None  # noqa: S101  only then is it asked
        preflight = await hop.receiver.preflight(hop.envelope.id)
        self._look(hop, before_call(hop.envelope, self._actor, time.time(), preflight))

    def _look(self, hop: Hop, decision: Decision | None) -> None:
        if decision is not None:
            self._conclude(hop, decision)
        elif self._gate is None or self._gate.admits(hop):
            self._call(hop)
        elif self._gate.reserves(hop):
            self._wait(hop, self._enter(hop, self._gate.enter))
        else:
            self._wait(hop, self._enter(hop, self._gate.reserve))
            self._park(hop)

    # -- waiting for the gate

    async def _enter(self, hop: Hop, wait: Callable[[Hop], Awaitable[bool]]) -> None:
        """Wait until the handler may be called, but not beyond the deadline, and not when it was canceled."""
        deadline, loop = deadline_of(hop.envelope, self._actor), asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None if deadline is None else max(deadline - time.time(), 0.0)) as limit:
                if hop.receiver is not None:
                    hop.receiver.started(hop.envelope.id, lambda: limit.reschedule(loop.time()))
                may_go_on = await wait(hop)
        except TimeoutError:
            may_go_on = True  # to be told that it is late, or canceled
        finally:
            if hop.receiver is not None:
                hop.receiver.ended(hop.envelope.id)
        if not may_go_on:
            await self._give_back_unsettled(hop)
        elif hop.parked:
            self._slots.unparked(hop)
        else:
            self._resume(hop)

    def _resume(self, hop: Hop) -> None:
        """Look again at what has waited: it may be canceled, late, or void by now."""
        if self._holding.is_doubtful(hop):
            self._wait(hop, self._resume_if_ours(hop))
        else:
            self._check(hop, time.time())

    async def _resume_if_ours(self, hop: Hop) -> None:
        if await self._holding.is_void(hop):
            self._let_go(hop)
        else:
            self._check(hop, time.time())

    # -- the call

    def _call(self, hop: Hop) -> None:
        envelope, receiver = hop.envelope, hop.receiver
        limit, deadline = self._actor.resiliency.actor_timeout, deadline_of(envelope, self._actor)
        left = None
        if deadline is not None:
            left = max(deadline - time.time(), 0.001)
            limit = min(limit, left)
        seen = envelope.headers if self._tracer is None else self._tracer.headers(hop)
        meta = _encode_meta(_Meta(envelope.id, envelope.route, seen, limit, envelope.parent_id, envelope.status))
        if receiver is not None:
            receiver.progress(progress_event(envelope, self._actor, "processing", {"instance": INSTANCE}))
        assert self.link is not None  # noqa: S101  set before anything is received
        hop.called = _clock()
        hop.call = self.link.call(meta, memoryview(envelope.payload), limit, hop, left)
        if receiver is not None and self._may_be_stopped(envelope):
            receiver.started(envelope.id, hop.call.stop)

    def chunk(self, hop: Hop, index: int, result: Result) -> None:
        """See `Way.chunk`."""
        if hop.stream is None:
            hop.stream = Stream(hop, self._actor, self._carrier, self._observer, self._tracer, self._gate)
        hop.stream.chunk(index, result)

    def fly(self, hop: Hop, event: bytes) -> None:
        """See `Way.fly`."""
        if hop.receiver is not None:
            hop.receiver.progress(fly_event(hop.envelope, event))

    def answered(self, hop: Hop, outcome: Outcome) -> None:
        """See `Way.answered`."""
        hop.answered, hop.outcome, hop.call = _clock(), outcome, None
        # Who calls this looks after all calls: an error must not reach it.
        self._guarded(hop, self._after_answer)

    def _after_answer(self, hop: Hop) -> None:
        if self._gate is not None and hop.outcome is not None:
            self._gate.answered(hop, hop.outcome)
        if hop.receiver is not None:
            hop.receiver.ended(hop.envelope.id)
        if hop.stopped:
            return
        if hop.stream is None:
            self._decide(hop)
            return
        self._wait(hop, self._flush(hop, hop.stream))
        if hop.stream.waits:
            self.held_up(hop)

    def held_up(self, hop: Hop) -> None:
        """See `Way.held_up`: a slot is free for another message as soon as the call itself is over."""
        if hop.outcome is None or hop.parked or hop.stopped:
            return
        log.warning("results of a call wait for their destination", extra=ids(hop.envelope))
        self._park(hop)

    async def _flush(self, hop: Hop, stream: Results) -> None:
        """Wait until all results are confirmed, and make the children known, before anything is decided."""
        try:
            await stream.flush()
        except BaseException:
            stream.abandon()
            raise
        hop.children = tuple(stream.children)
        if stream.undeliverable:
            self._conclude(hop, Decision(row="too-large", settle=Settle.DEAD_LETTER))
            return
        if hop.receiver is not None and hop.children and not isinstance(hop.outcome, Away):
            await hop.receiver.final(children_event(hop.envelope, self._actor, hop.children))
        self._decide(hop)

    def _decide(self, hop: Hop) -> None:
        assert hop.outcome is not None  # noqa: S101  it was answered
        self._conclude(hop, after_call(hop.envelope, hop.outcome, self._actor, time.time()))

    # -- the end

    def _conclude(self, hop: Hop, decision: Decision) -> None:
        """Tell about the decision where it is heard, and carry it out."""
        hop.concluded = _clock()
        if self._tracer is not None and decision.sends:
            stamped = tuple(self._tracer.stamp(hop, send) for send in decision.sends)
            decision = msgspec.structs.replace(decision, sends=stamped)
        hop.decision = decision
        if decision.settle is Settle.RELEASE:
            self._wait(hop, self._give_back(hop))
        elif hop.receiver is not None:
            self._wait(hop, self._tell(hop, decision))
        else:
            self._carry(hop, decision)

    async def _tell(self, hop: Hop, decision: Decision) -> None:
        assert hop.receiver is not None  # noqa: S101  else nobody is told
        hop.receiver.progress(passed_event(hop.envelope, self._actor, decision, hop.began_at, hop.children))
        if decision.final is not None:
            await hop.receiver.final(final_event(hop.envelope, decision.final))
        self._carry(hop, decision)

    def _carry(self, hop: Hop, decision: Decision) -> None:
        hop.messages = [self._carrier.outgoing(send) for send in decision.sends]
        sending = None if self._gate is None else self._gate.sending(hop, hop.messages)
        if sending is None or sending.ready:
            self._complete(hop, decision, sending)
        else:
            self._wait(hop, self._complete_later(hop, decision, sending))
            self._park(hop)

    async def _complete_later(self, hop: Hop, decision: Decision, sending: Sending) -> None:
        await sending.wait()
        self._complete(hop, decision, sending)

    def _complete(self, hop: Hop, decision: Decision, sending: Sending | None) -> None:
        hop.carrying = self._carrier.complete(hop.delivery, hop.messages, decision)
        if sending is not None:
            hop.carrying.add_done_callback(sending.done)
        hop.carrying.add_done_callback(hop.carried)

    def carried(self, hop: Hop, future: asyncio.Future[None]) -> None:
        """See `Way.carried`."""
        hop.carrying = None
        if future.cancelled():
            return  # given up at the end of a drain, and released
        error, decision = future.exception(), hop.decision
        assert decision is not None  # noqa: S101  it is what was carried out
        if error is None:
            self._settled(hop)
        elif isinstance(error, LeaseLostError):
            log.warning("a lease was lost; the message comes again", extra=ids(hop.envelope))
            if self._observer is not None:
                self._observer.lease_lost()
            self._let_go(hop)
        elif isinstance(error, TransportError):
            log.warning("publishing waits: %s", error, extra=ids(hop.envelope))
            self._wait(hop, self._carry_again(hop, decision, error))
            if self._observer is not None:
                self._observer.parked(hop, error)
            self._park(hop)
            hop.messages = ()  # made anew for each further try, rather than held twice
        else:
            self._trouble(hop, error)

    async def _carry_again(self, hop: Hop, decision: Decision, error: TransportError) -> None:
        sent = await self._carrier.complete_again(hop.delivery, hop.envelope, decision, error)
        if sent is None:
            self._let_go(hop)
            return
        hop.messages = sent
        self._settled(hop)

    async def _give_back(self, hop: Hop) -> None:
        await self._holding.release(hop)
        self._settled(hop)

    def _settled(self, hop: Hop) -> None:
        hop.settled = _clock()
        try:
            if self._observer is not None:
                self._observer.passed(hop)
            decision = hop.decision
            if decision is not None and decision.failure is not None:
                _log_failure(hop.envelope, decision)
        except Exception:
            log.exception(_UNHARMED)
        self._let_go(hop)

    def _let_go(self, hop: Hop) -> None:
        self.forget(hop)
        self._slots.ended(hop)

    def forget(self, hop: Hop) -> None:
        """Give up what is kept for a message that is no longer held: its span, its places at the gate."""
        try:
            if self._tracer is not None and hop.trace is not None:
                self._tracer.end(hop)
            if self._gate is not None:
                self._gate.left(hop)
        except Exception:
            log.exception(_UNHARMED)
        hop.stream, hop.messages = None, ()
        self._holding.remove(hop)

    def _park(self, hop: Hop) -> None:
        if not hop.parked:
            hop.parked = True
            self._slots.parked(hop)

    # -- giving up

    async def stop(self, hops: list[Hop]) -> None:
        """End what runs for these hops; their deliveries are still to be released."""
        for hop in hops:
            hop.stopped = True
            if hop.call is not None:
                hop.call.stop()  # the drain's time is over; the message is released, so its call must not go on
            if hop.stream is not None:
                hop.stream.abandon()
            if hop.carrying is not None:
                hop.carrying.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for hop in hops:
            if self._tracer is not None and hop.trace is not None:
                self._tracer.end(hop)

    # -- errors of ours

    def _guarded(self, hop: Hop, step: Callable[[Hop], None]) -> None:
        try:
            step(hop)
        except Exception as error:  # noqa: BLE001  sorted there
            self._trouble(hop, error)

    def _wait(self, hop: Hop, work: Coroutine[Any, Any, None]) -> None:
        """Go on in a task, because something outside is awaited."""
        task = asyncio.get_running_loop().create_task(work, name="hop")
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._waited(hop, done))

    def _waited(self, hop: Hop, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._trouble(hop, error)

    def _trouble(self, hop: Hop, error: BaseException) -> None:
        if isinstance(error, Exception) and not isinstance(error, (TransportError, OSError, MemoryError)):
            # An error of ours that this message brings about would come again with it for ever: it is put aside.
            log.error("a message met an error of the sidecar and goes to the dead letters", exc_info=error)
            hop.decision = None
            self._wait(hop, self._put_aside(hop))
            return
        # Not this message's doing: the process ends cleanly, and everything it held goes back.
        self._wait(hop, self._give_back_unsettled(hop))
        self._slots.failed(error)

    async def _give_back_unsettled(self, hop: Hop) -> None:
        await self._holding.release(hop)
        self._let_go(hop)

    async def _put_aside(self, hop: Hop) -> None:
        await self._holding.put_aside(hop)
        self._settled(hop)


def ids(envelope: Envelope) -> dict[str, Any]:
    """Return what a log line says of a message."""
    trace = envelope.headers.get(headers.TRACEPARENT)
    return {"envelope": envelope.id, "traceparent": bytes(trace).decode().strip('"') if trace is not None else None}


def _log_failure(envelope: Envelope, decision: Decision) -> None:
    failure = decision.failure
    if failure is None:
        return
    where = ", ".join(send.actor for send in decision.sends) or str(decision.settle)
    by = "" if decision.cause in ("", "handler-error", decision.row) else f" by {decision.cause}"
    log.warning(
        "%s%s: %s: %s → %s", decision.row, by, failure.type, failure.message[:512], where,
        extra={**ids(envelope), "row": decision.row},
    )  # fmt: skip
