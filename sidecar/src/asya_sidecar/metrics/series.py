"""Reading: every series of a sidecar from its numbers, without any library."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from asya_sidecar.decide import Actor
from asya_sidecar.metrics import definitions as known
from asya_sidecar.metrics.numbers import Histogram
from asya_sidecar.metrics.outcomes import ROWS
from asya_sidecar.metrics.tally import Tally

OTHER = "other"
"""Stands for all destinations beyond the number that is counted one by one."""

CIRCUIT_STATES = ("closed", "half-open", "open")

Series = tuple[known.Metric, tuple[str, ...], float | Histogram]
"""A metric, the values of its labels in their order, and its number."""


def series(tally: Tally, actor: Actor, transport: str, queue_of: Callable[[str], str]) -> Iterator[Series]:
    """Return every series, those of closed sets of values also where nothing was counted.

    `queue_of` gives the name at the broker of an actor's queue.
    """
    queue = queue_of(actor.name)
    yield known.PROCESSING, (queue,), tally.processing
    yield known.RUNTIME, (queue,), tally.runtime
    yield known.RECEIVE, (queue, transport), tally.receive
    yield known.QUEUE_WAIT, (queue,), tally.wait
    yield known.SIZE, ("received",), tally.size_in
    yield known.SIZE, ("sent",), tally.size_out
    yield known.RETRY_DELAY, (queue,), tally.retry_delay
    for metric, by_phase in ((known.END_TO_END, tally.end_to_end), (known.HOP_COUNT, tally.hops)):
        for phase, histogram in by_phase.items():
            yield metric, (phase,), histogram
    yield known.REDELIVERED, (queue,), tally.redelivered
    yield known.RECONNECTS, (transport,), tally.reconnected
    yield known.LEASES_EXTENDED, (queue,), tally.extended
    yield known.LEASES_LOST, (queue,), tally.lost
    for metric, counts in ((known.RUNTIME_ERRORS, tally.errors), (known.RETRIES, tally.retries)):
        for kind in metric.values["error_type"]:
            yield metric, (queue, kind), counts.get(kind, 0)
    for target, state in tally.circuits.items():
        yield known.CIRCUIT_STATE, (target,), CIRCUIT_STATES.index(state)
        yield known.CIRCUIT_OPENED, (target,), tally.opened.get(target, 0)
    for target, seconds in tally.limited.items():
        yield known.RATE_LIMITED, (target,), seconds
    for reason in known.RELEASED.values["reason"]:
        yield known.RELEASED, (queue, reason), tally.released.get(reason, 0)
    yield from _outcomes(tally, queue)
    yield from _sent(tally, actor, transport, lambda name: name if name == OTHER else queue_of(name))


def _outcomes(tally: Tally, queue: str) -> Iterator[Series]:
    processed = dict.fromkeys(known.PROCESSED.values["status"], 0)
    failed = dict.fromkeys(known.FAILED.values["reason"], 0)
    for name, row in tally.rows.items():
        labels = ROWS[name]
        processed[labels.status] += row.count
        if labels.reason is not None:
            failed[labels.reason] += row.count
    processed["error"] += tally.dead_lettered + sum(tally.undelivered.values())
    failed["internal_error"] += tally.dead_lettered
    for reason, count in tally.undelivered.items():
        failed[reason] += count
    for status, count in processed.items():
        yield known.PROCESSED, (queue, status), count
    for reason, count in failed.items():
        yield known.FAILED, (queue, reason), count


def _sent(tally: Tally, actor: Actor, transport: str, queue_of: Callable[[str], str]) -> Iterator[Series]:
    counts: dict[tuple[str, str], int] = {}
    seconds: dict[str, Histogram] = {}
    for row, number in tally.rows.items():
        for name, sent in number.destinations.items():
            key = (name, message_type(row, name, actor))
            counts[key] = counts.get(key, 0) + sent.count
            seconds.setdefault(name, Histogram(known.SEND.buckets)).add(sent.seconds)
    for name, count in tally.streamed.items():
        key = (name, message_type("fan-out", name, actor))
        counts[key] = counts.get(key, 0) + count
    for (name, kind), count in counts.items():
        yield known.SENT, (queue_of(name), kind), count
    for name, histogram in seconds.items():
        yield known.SEND, (queue_of(name), transport), histogram


def message_type(row: str, destination: str, actor: Actor) -> str:
    """Return the label value for a message that `row` made `actor` send."""
    if row == "handler-error" and destination == actor.name:
        return "retry"
    if destination == actor.sink:
        return "sink"
    if destination == actor.sump:
        return "sump"
    return "on_exhausted" if row == "exhausted-route" else "routing"
