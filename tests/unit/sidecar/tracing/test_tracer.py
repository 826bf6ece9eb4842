"""The spans of one hop, by what becomes of it."""

from __future__ import annotations

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import StatusCode
from tests.unit.sidecar.metrics.passing import ACTOR, failed, passed

from asya.wire import raw
from asya_sidecar.decide import Away, Decision, Outcome
from asya_sidecar.hop import Hop
from asya_sidecar.tracing.ids import Ids
from asya_sidecar.tracing.tracer import HopTracer

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = {"traceparent": raw(f"00-{TRACE}-{SPAN}-01")}


class Traced:
    """A tracer whose spans are kept."""

    def __init__(self, ratio: float = 1.0, transport: str = "rabbitmq") -> None:
        ids, self._kept = Ids(), InMemorySpanExporter()
        provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(ratio)), id_generator=ids)
        provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self.tracer = HopTracer(provider, ids, ACTOR, transport, lambda name: f"asya_test_{name}")

    def carry(self, outcome: Outcome | None = None, *, settle: bool = True, **envelope: object) -> Hop:
        """Take a hop through the tracer as the loop does."""
        hop = passed(outcome, **envelope)  # type: ignore[arg-type]  # fields of an envelope
        decision = hop.decision
        assert decision is not None
        hop.decision = None
        self.tracer.begin(hop)
        self.tracer.headers(hop)
        stamped = tuple(self.tracer.stamp(hop, send) for send in decision.sends)
        hop.decision = msgspec.structs.replace(decision, sends=stamped)
        if not settle:
            hop.settled = 0.0
        return hop

    def end(self, hop: Hop) -> dict[str, ReadableSpan]:
        """End it; the spans by the first word of their name."""
        self.tracer.end(hop)
        assert hop.trace is None
        return {span.name.partition(" ")[0]: span for span in self._kept.get_finished_spans()}


def test_a_hop_has_its_spans_with_its_times() -> None:
    traced = Traced()
    hop = traced.carry(headers=dict(PARENT))
    spans = traced.end(hop)
    assert set(spans) == {"receive", "process", "call", "send", "settle"}
    process = spans["process"]
    assert process.parent is not None
    assert f"{process.parent.span_id:016x}" == SPAN
    assert (process.start_time, process.end_time) == (
        pytest.approx(hop.began_at * 1e9, abs=1e6),
        pytest.approx((hop.began_at + 0.010) * 1e9, abs=1e6),
    )
    assert spans["receive"].start_time == pytest.approx((hop.began_at - 0.001) * 1e9, abs=1e6)
    assert spans["receive"].end_time == pytest.approx(hop.began_at * 1e9, abs=1e6)
    said = process.attributes
    assert said is not None
    assert said["messaging.system"] == "rabbitmq"
    assert said["messaging.message.body.size"] == len(b'{"text":"hello"}')
    assert said["messaging.message.envelope.size"] == len(hop.delivery.body)
    assert said["asya.outcome"] == "success"
    assert process.status.status_code is StatusCode.UNSET
    sent = spans["send"].attributes
    assert sent is not None
    assert sent["messaging.rabbitmq.destination.routing_key"] == "store"
    assert sent["messaging.destination.name"] == "asya_test_store"


def test_the_receiver_continues_the_send_and_the_handler_the_call() -> None:
    traced = Traced()
    hop = traced.carry(headers={**PARENT, "tracestate": raw("vendor=1"), "tenant": raw("t")})
    seen = traced.tracer.headers(hop)
    assert hop.decision is not None
    onward = hop.decision.sends[0].envelope.headers
    spans = traced.end(hop)
    assert spans["send"].context is not None
    assert onward["traceparent"] == raw(f"00-{TRACE}-{spans['send'].context.span_id:016x}-01")
    assert onward["tracestate"] == seen["tracestate"] == raw("vendor=1")
    assert onward["tenant"] == seen["tenant"] == raw("t")
    assert seen["traceparent"] not in (onward["traceparent"], PARENT["traceparent"])
    assert hop.envelope.headers["traceparent"] == PARENT["traceparent"], "what came is not changed"


def test_what_is_not_sampled_stays_so_and_leaves_nothing() -> None:
    traced = Traced()
    hop = traced.carry(headers={"traceparent": raw(f"00-{TRACE}-{SPAN}-00")})
    assert hop.decision is not None
    onward = msgspec.json.decode(hop.decision.sends[0].envelope.headers["traceparent"])
    assert traced.end(hop) == {}
    assert onward.startswith(f"00-{TRACE}-")
    assert onward.endswith("-00")


def test_a_ratio_of_zero_traces_nothing_of_its_own() -> None:
    traced = Traced(ratio=0.0)
    assert traced.end(traced.carry()) == {}
    assert set(traced.end(traced.carry(headers=dict(PARENT)))) >= {"process"}


def test_a_message_that_comes_again_is_in_the_same_trace() -> None:
    first, second = Traced(), Traced()
    spans = first.end(first.carry(id="the-task"))
    again = second.end(second.carry(id="the-task", attempts=2))
    assert "create" in spans
    assert "create" not in again
    one, two = spans["process"], again["process"]
    assert one.context is not None
    assert two.context is not None
    assert one.context.trace_id == two.context.trace_id
    assert one.parent == two.parent


def test_a_failure_has_its_exception() -> None:
    traced = Traced()
    process = traced.end(traced.carry(failed(kind="app.errors.Bad")))["process"]
    assert process.status.status_code is StatusCode.ERROR
    assert process.attributes is not None
    assert process.attributes["error.type"] == "app.errors.Bad"
    assert process.attributes["asya.reason"] == "policy_exhausted"
    (event,) = process.events
    assert event.name == "exception"
    assert event.attributes == {"exception.type": "app.errors.Bad", "exception.message": "no"}


@pytest.mark.parametrize(
    ("settled", "stopped", "decided", "outcome", "error"),
    [
        (False, False, True, "lease_lost", "LeaseLost"),
        (False, True, False, "released", "Draining"),
        (True, False, False, "error", "InternalError"),
    ],
    ids=["lease lost", "given up at the drain", "put aside"],
)
def test_a_hop_that_is_cut_short_ends_its_spans(
    settled: bool, stopped: bool, decided: bool, outcome: str, error: str
) -> None:
    traced = Traced()
    hop = traced.carry(settle=settled)
    hop.answered = 0.0
    hop.stopped = stopped
    if not decided:
        hop.decision = None
    spans = traced.end(hop)
    assert ("settle" in spans) == settled
    process = spans["process"]
    assert process.attributes is not None
    assert (process.attributes["asya.outcome"], process.attributes["error.type"]) == (outcome, error)
    assert {"call", "send"} <= set(spans)


def test_a_delivery_that_is_given_back_says_so() -> None:
    traced = Traced()
    spans = traced.end(traced.carry(Away()))
    assert spans["process"].attributes is not None
    assert spans["process"].attributes["asya.outcome"] == "released"
    assert spans["settle"].attributes is not None
    assert spans["settle"].attributes["asya.settlement"] == "release"


def test_what_was_joined_is_linked_and_the_header_taken_off() -> None:
    traced = Traced()
    other = f"00-{TRACE}-{'1' * 16}-01"
    hop = traced.carry(headers={"x-asya-trace-links": raw([other])})
    assert isinstance(hop.decision, Decision)
    assert "x-asya-trace-links" not in hop.decision.sends[0].envelope.headers
    (link,) = traced.end(hop)["send"].links
    assert f"{link.context.span_id:016x}" == "1" * 16


def test_attributes_of_the_handler_stand_on_the_process_span() -> None:
    traced = Traced()
    hop = traced.carry()
    hop.notes = b'[["attribute","gen_ai.usage.input_tokens",412,{}],["add","tokens",1,{}]]'
    said = traced.end(hop)["process"].attributes
    assert said is not None
    assert said["gen_ai.usage.input_tokens"] == 412
    assert "tokens" not in said
