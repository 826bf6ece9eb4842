"""The spans of a hop: `receive`, `process` with `call`, each `send`, and `settle`.

`process` is a child of what the message brought, each `send` a child of `process`, and the next actor's `process` a
child of that: a task is one tree. Failure paths are sends like any other.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, set_span_in_context

from asya.wire import Raw, headers, parse_time, raw
from asya_sidecar import notes
from asya_sidecar.decide import Actor, Send
from asya_sidecar.hop import Hop
from asya_sidecar.metrics.outcomes import ROWS
from asya_sidecar.metrics.series import message_type
from asya_sidecar.tracing import context
from asya_sidecar.tracing.attributes import Attributes, Describer
from asya_sidecar.tracing.ids import Ids

SCOPE = "asya.sidecar"


class Trace:
    """The open spans of one hop. `offset` is what turns `perf_counter` seconds into Unix seconds."""

    __slots__ = ("call", "offset", "process", "sends")

    def __init__(self, process: Span, offset: float) -> None:
        self.process, self.offset = process, offset
        self.call: Span | None = None
        self.sends: list[Span] = []

    def at(self, moment: float) -> int:
        """Return Unix nanoseconds of a time in a `Hop`."""
        return int((moment + self.offset) * 1e9)


class HopTracer:
    """See `observe.Tracer`."""

    def __init__(
        self, provider: TracerProvider, ids: Ids, actor: Actor, transport: str, queue_of: Callable[[str], str]
    ) -> None:
        """`ids` is the provider's own id generator."""
        self._tracer = provider.get_tracer(SCOPE)
        self._ids, self._actor, self._queue_of = ids, actor, queue_of
        self._queue = queue_of(actor.name)
        self._describe = Describer(actor.name, self._queue, transport)

    def begin(self, hop: Hop) -> None:
        """See `observe.Tracer.begin`."""
        offset = hop.began_at - hop.begun
        came = hop.envelope.headers
        parent = context.read(came) or self._create(hop)
        around = _around(parent)
        former = context.previous(came)
        link = [] if former is None else [Link(former, {"asya.link": "previous attempt"})]
        process = self._start("process", self._queue, around, SpanKind.CONSUMER, hop.began_at, hop, link)
        hop.trace = Trace(process, offset)
        if process.is_recording():
            received = self._start("receive", self._queue, around, SpanKind.CLIENT, hop.received + offset, hop)
            received.end(int(hop.began_at * 1e9))

    def headers(self, hop: Hop) -> dict[str, Raw]:
        """See `observe.Tracer.headers`."""
        trace: Trace = hop.trace
        if not trace.process.is_recording():
            return context.write(hop.envelope.headers, trace.process.get_span_context())
        trace.call = self._tracer.start_span(
            f"call {self._actor.name}",
            set_span_in_context(trace.process, Context()),
            SpanKind.INTERNAL,
            self._describe.called(),
        )
        return context.write(hop.envelope.headers, trace.call.get_span_context())

    def stamp(self, hop: Hop, send: Send) -> Send:
        """See `observe.Tracer.stamp`."""
        trace: Trace = hop.trace
        again = _is_again(hop, send)
        span = self._send(trace, send, again=again) if trace.process.is_recording() else trace.process
        stamped = context.write(send.envelope.headers, span.get_span_context())
        stamped.pop(headers.TRACE_LINKS, None)
        if again:
            stamped[headers.TRACE_PREVIOUS] = raw(context.traceparent(trace.process.get_span_context()))
        else:
            stamped.pop(headers.TRACE_PREVIOUS, None)
        return msgspec.structs.replace(send, envelope=msgspec.structs.replace(send.envelope, headers=stamped))

    def end(self, hop: Hop) -> None:
        """See `observe.Tracer.end`."""
        trace: Trace = hop.trace
        hop.trace = None
        if not trace.process.is_recording():
            return
        over = trace.at(hop.settled or time.perf_counter())
        if trace.call is not None:
            trace.call.end(trace.at(hop.answered) if hop.answered else over)
        for span in trace.sends:
            span.end(over)
        for verb, name, value, _ in notes.read(hop.notes):
            if verb == "attribute":
                trace.process.set_attribute(name, value)
        self._outcome(hop, trace.process)
        if hop.settled:
            began = hop.settled if trace.sends else hop.concluded or hop.settled
            around = set_span_in_context(trace.process, Context())
            settle = self._start("settle", self._queue, around, SpanKind.CLIENT, began + trace.offset, hop)
            settle.set_attribute("asya.settlement", _settlement(hop))
            settle.end(over)
        trace.process.end(over)

    # -- parts

    def _send(self, trace: Trace, send: Send, *, again: bool) -> Span:
        queue = self._queue_of(send.actor)
        row = "handler-error" if again else "exhausted-route" if _is_exhausted(send) else "result"
        joined = [Link(each, {"asya.link": "joined"}) for each in context.links(send.envelope.headers)]
        span = self._tracer.start_span(
            f"send {queue}",
            set_span_in_context(trace.process, Context()),
            SpanKind.PRODUCER,
            self._describe.sent(send, queue, message_type(row, send.actor, self._actor)),
            joined,
        )
        trace.sends.append(span)
        return span

    def _start(
        self,
        operation: str,
        queue: str,
        around: Context,
        kind: SpanKind,
        began: float,
        hop: Hop,
        link: list[Link] | None = None,
    ) -> Span:
        described: Attributes = self._describe.received(hop, operation)
        return self._tracer.start_span(f"{operation} {queue}", around, kind, described, link, int(began * 1e9))

    def _create(self, hop: Hop) -> SpanContext:
        """Begin a trace: the span stands for the message's making, which nobody traced."""
        envelope = hop.envelope
        self._ids.force(*context.of_task(envelope.id))
        began = hop.began_at
        if envelope.status is not None and envelope.status.created_at:
            began = min(_time(envelope.status.created_at, began), began)
        described = self._describe.created(hop)
        moment = int(began * 1e9)
        span = self._tracer.start_span(f"create {self._queue}", Context(), SpanKind.PRODUCER, described, None, moment)
        self._ids.release()
        if hop.delivery.attempts == 1:
            span.end(moment)  # a delivery that comes again finds it sent already
        return context.root(envelope.id, sampled=span.get_span_context().trace_flags.sampled)

    def _outcome(self, hop: Hop, span: Span) -> None:
        decision = hop.decision
        if decision is None or not hop.settled:
            outcome, error = _without_decision(hop)
            span.set_attribute("asya.outcome", outcome)
            span.set_attribute("error.type", error)
            span.set_status(StatusCode.ERROR)
            return
        span.set_attribute("asya.row", decision.row)
        labels = ROWS.get(decision.row)
        span.set_attribute("asya.outcome", labels.status if labels is not None else "released")
        if labels is not None and labels.reason is not None:
            span.set_attribute("asya.reason", labels.reason)
        failure = decision.failure
        if failure is not None:
            described = {"exception.type": failure.type, "exception.message": failure.message}
            if failure.traceback:
                described["exception.stacktrace"] = failure.traceback
            span.add_event("exception", described, int((hop.answered + hop.began_at - hop.begun) * 1e9))
            span.set_attribute("error.type", failure.type)
            span.set_status(StatusCode.ERROR, failure.message[:256])
        elif labels is not None and labels.reason is not None:
            span.set_attribute("error.type", labels.reason)
            span.set_status(StatusCode.ERROR, decision.row)


def _is_again(hop: Hop, send: Send) -> bool:
    """Tell whether this is the same message for another attempt: every other send is one hop further."""
    return send.envelope.id == hop.envelope.id and send.envelope.hop == hop.envelope.hop


def _is_exhausted(send: Send) -> bool:
    return send.envelope.status is not None and send.envelope.status.reason == "PolicyRouted"


def _around(parent: SpanContext) -> Context:
    return set_span_in_context(NonRecordingSpan(parent), Context())


def _without_decision(hop: Hop) -> tuple[str, str]:
    if hop.stopped:
        return "released", "Draining"
    return ("error", "InternalError") if hop.settled else ("lease_lost", "LeaseLost")


def _settlement(hop: Hop) -> str:
    decision = hop.decision
    return "dead-letter" if decision is None else getattr(decision.settle, "value", "keep")


def _time(text: str, default: float) -> float:
    try:
        return parse_time(text)
    except Exception:  # noqa: BLE001  a foreign stamp of whatever shape must not fail the message
        return default
