"""Counting: the `Observer` of the loop. One call at the end of each hop does it all; the rest are rare events."""

from __future__ import annotations

from bisect import bisect_left

from asya.errors import TooLargeError
from asya.policy import CircuitState
from asya.transports import Outgoing, Settle
from asya.wire import parse_time
from asya_sidecar import notes
from asya_sidecar.decide import Actor, Decision
from asya_sidecar.decide.build import TERMINAL_ATTEMPT
from asya_sidecar.hop import Hop
from asya_sidecar.metrics import definitions as known
from asya_sidecar.metrics.custom import CustomMetric
from asya_sidecar.metrics.handlers import HandlerMetrics
from asya_sidecar.metrics.numbers import Histogram
from asya_sidecar.metrics.outcomes import CAUSES
from asya_sidecar.metrics.registries import WorkerRegistries
from asya_sidecar.metrics.series import OTHER
from asya_sidecar.metrics.tally import Destination, Row, Tally

MOST_DESTINATIONS = 1000
MOST_REASONS = 10_000
STAMP = len("2026-01-02T03:04:05.678Z")
_RELEASE = Settle.RELEASE


class Recorder:
    """Counts what passes through one actor. See `observe.Observer`; `tally` has the numbers."""

    def __init__(self, actor: Actor, announced: tuple[CustomMetric, ...] = ()) -> None:
        self._actor = actor
        self.tally = Tally()
        self.handlers = HandlerMetrics(announced)
        self.registries = WorkerRegistries()
        self._why_parked: dict[int, str] = {}
        # One parsed second: stamps of a busy queue share it.
        self._stamp, self._second = "", 0.0

    # -- Observer

    def passed(self, hop: Hop) -> None:  # noqa: PLR0915  written out: a call each would cost more than the counting
        """See `observe.Observer.passed`. The numbers are written in place: this runs for every message."""
        tally, decision, begun, settled = self.tally, hop.decision, hop.begun, hop.settled
        if decision is None:
            tally.dead_lettered += 1
            return
        if decision.settle is _RELEASE:
            return  # heard of by `released`
        row = tally.rows[decision.row]
        row.count += 1
        spent = settled - begun
        number = tally.processing
        number.counts[bisect_left(number.bounds, spent)] += 1
        number.total += spent
        waited = begun - hop.received
        number = tally.receive
        number.counts[bisect_left(number.bounds, waited)] += 1
        number.total += waited
        if hop.answered:
            spent = hop.answered - hop.called
            number = tally.runtime
            number.counts[bisect_left(number.bounds, spent)] += 1
            number.total += spent
        size = len(hop.delivery.body)
        number = tally.size_in
        number.counts[bisect_left(number.bounds, size)] += 1
        number.total += size
        spent = settled - hop.concluded
        for message in hop.messages:
            destination = row.destinations.get(message.actor)
            if destination is None:
                destination = self._new_destination(row, message.actor)
            destination.count += 1
            number = destination.seconds
            number.counts[bisect_left(number.bounds, spent)] += 1
            number.total += spent
            size = len(message.body)
            number = tally.size_out
            number.counts[bisect_left(number.bounds, size)] += 1
            number.total += size
        status = hop.envelope.status
        if status is not None and status.phase != "retrying" and TERMINAL_ATTEMPT not in hop.envelope.headers:
            text = status.updated_at
            if len(text) == STAMP and text[:19] == self._stamp and (digits := text[20:23]).isdecimal():
                sent = self._second + int(digits) / 1000
            else:
                sent = self._unix(text)
            if sent:
                waited = hop.began_at - waited - sent
                number = tally.wait
                if waited > 0.0:
                    number.counts[bisect_left(number.bounds, waited)] += 1
                    number.total += waited
                else:
                    number.counts[0] += 1  # clocks that differ
        if (
            decision.failure is not None
            or decision.final is not None
            or hop.notes
            or hop.parked
            or hop.delivery.attempts > 1
        ):
            self._seldom(hop, decision)

    def published(self, message: Outgoing) -> None:
        """See `observe.Observer.published`."""
        self.tally.streamed[message.actor] = self.tally.streamed.get(message.actor, 0) + 1
        self.tally.size_out.observe(len(message.body))

    def parked(self, hop: Hop, error: Exception) -> None:
        """See `observe.Observer.parked`."""
        if len(self._why_parked) >= MOST_REASONS:
            self._why_parked.clear()  # of messages that were lost while they waited
        self._why_parked[id(hop)] = "too_large" if isinstance(error, TooLargeError) else "routing_error"

    def released(self, hop: Hop) -> None:
        """See `observe.Observer.released`."""
        if hop.stopped:
            reason = "draining"
        elif hop.decision is not None:
            reason = "runtime_away"
        else:
            # What the gate gives back was begun but never called: an open circuit is no error of ours.
            reason = "internal_error" if hop.called else "unstarted"
        self.tally.released[reason] = self.tally.released.get(reason, 0) + 1

    def lease_extended(self) -> None:
        """See `observe.Observer.lease_extended`."""
        self.tally.extended += 1

    def lease_lost(self) -> None:
        """See `observe.Observer.lease_lost`."""
        self.tally.lost += 1

    def reconnected(self) -> None:
        """See `observe.Observer.reconnected`."""
        self.tally.reconnected += 1

    def limited(self, seconds: float, what: str) -> None:
        """See `observe.Observer.limited`."""
        self.tally.limited[what] = self.tally.limited.get(what, 0.0) + seconds

    def circuit(self, what: str, state: CircuitState) -> None:
        """See `observe.Observer.circuit`."""
        self.tally.circuits[what] = state
        if state == "open":
            self.tally.opened[what] = self.tally.opened.get(what, 0) + 1

    # -- what seldom happens

    def _seldom(self, hop: Hop, decision: Decision) -> None:
        tally = self.tally
        if hop.notes:
            self.handlers.take(notes.read(hop.notes))
        if hop.delivery.attempts > 1:
            tally.redelivered += 1
        if decision.failure is not None:
            kind = CAUSES.get(decision.cause, "execution_error")
            tally.errors[kind] = tally.errors.get(kind, 0) + 1
            if decision.row == "retry-too-late" and _by_deadline(decision):
                tally.rows["retry-too-late"].count -= 1
                tally.rows["deadline-over"].count += 1
            if decision.row == "handler-error":
                tally.retries[kind] = tally.retries.get(kind, 0) + 1
                tally.retry_delay.observe(decision.sends[0].delay)
        if decision.final is not None and self._actor.role != "actor":
            self._ended(hop, decision.final.status)
        why = self._why_parked.pop(id(hop), None) if hop.parked else None
        if why is not None and self._went_to_the_sump(hop, decision):
            tally.rows[decision.row].count -= 1
            tally.undelivered[why] = tally.undelivered.get(why, 0) + 1

    def _went_to_the_sump(self, hop: Hop, decision: Decision) -> bool:
        """Tell whether something could not be delivered where it was decided to go."""
        sump = self._actor.sump
        return any(sent.actor == sump for sent in hop.messages) and all(send.actor != sump for send in decision.sends)

    def _ended(self, hop: Hop, phase: str) -> None:
        envelope = hop.envelope
        created = 0.0 if envelope.status is None else self._unix(envelope.status.created_at)
        if created:
            histogram = self.tally.end_to_end.setdefault(phase, Histogram(known.END_TO_END.buckets))
            histogram.observe(max(hop.began_at - created, 0.0))
        self.tally.hops.setdefault(phase, Histogram(known.HOP_COUNT.buckets)).observe(envelope.hop)

    def _new_destination(self, row: Row, actor: str) -> Destination:
        if len(row.destinations) >= MOST_DESTINATIONS:
            actor = OTHER
        return row.destinations.setdefault(actor, Destination())

    def _unix(self, text: str) -> float:
        """Read a stamp; 0.0 for what is none. One of our own makes its second the remembered one."""
        try:
            seconds = parse_time(text)
        except Exception:  # noqa: BLE001  a foreign stamp of whatever shape must not fail the message
            return 0.0
        if len(text) == STAMP and text.endswith("Z") and text[19] == ".":
            self._stamp, self._second = text[:19], float(int(seconds))
        return seconds


def _by_deadline(decision: Decision) -> bool:
    """Tell whether the task's deadline, and not its policy, forbade another attempt."""
    status = decision.sends[0].envelope.status if decision.sends else None
    return status is not None and status.reason == "Timeout"
