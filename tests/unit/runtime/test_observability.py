"""What handlers count and say about their work, without importing anything of ours."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.runtime.fake_sidecar import END, ERROR, META, NOTES, REGISTRY, RESULT, Connection, FakeSidecar

from asya_runtime import ABIError, Message

CONTEXT = """
{declaration} process(payload, context):
    context.count("tokens", 12, model="m-1")
    context.count("calls")
    context.gauge("loaded", 3.5)
    context.observe("score", 0.25, kind=1)
    context.attribute("gen_ai.request.model", "m-1")
    context.attribute("sizes", (1, 2))
    if payload == "fail":
        raise ValueError("after counting")
    return payload
"""
NOTED = [
    ["add", "tokens", 12.0, {"model": "m-1"}],
    ["add", "calls", 1.0, {}],
    ["set", "loaded", 3.5, {}],
    ["observe", "score", 0.25, {"kind": "1"}],
    ["attribute", "gen_ai.request.model", "m-1", {}],
    ["attribute", "sizes", [1, 2], {}],
]


@pytest.mark.parametrize("declaration", ["def", "async def"])
@pytest.mark.parametrize(("payload", "answer"), [("well", RESULT), ("fail", ERROR)])
def test_notes_come_just_before_the_answer(sidecar: FakeSidecar, declaration: str, payload: str, answer: int) -> None:
    worker = sidecar.start(CONTEXT.format(declaration=declaration)).worker()
    notes, last = worker.answers(payload)
    assert (notes.kind, last.kind) == (NOTES, answer)
    assert notes.json == NOTED


@pytest.mark.parametrize("declaration", ["def", "async def"])
def test_the_same_by_yield(sidecar: FakeSidecar, declaration: str) -> None:
    worker = sidecar.start(f"""
{declaration} process(payload):
    yield "SET", ".metrics.tokens", {{"add": 12, "labels": {{"model": "m-1"}}}}
    yield "SET", ".metrics.loaded", 3.5
    yield "SET", ".metrics.score", {{"observe": 0.25}}
    yield "SET", '.span["gen_ai.request.model"]', "m-1"
""").worker()
    notes, last = worker.answers(1)
    assert (notes.kind, last.kind) == (NOTES, END)
    assert notes.json == [
        ["add", "tokens", 12.0, {"model": "m-1"}],
        ["set", "loaded", 3.5, {}],
        ["observe", "score", 0.25, {}],
        ["attribute", "gen_ai.request.model", "m-1", {}],
    ]


def test_each_message_of_a_batch_has_its_own(sidecar: FakeSidecar) -> None:
    sidecar.environ = {"ASYA_BATCH_SIZE": "2", "ASYA_BATCH_WAIT": "5s"}
    worker = sidecar.start("""
def process(payloads, context):
    for payload, one in zip(payloads, context):
        one.count("seen", payload)
    return payloads
""").worker()
    calls = [worker.call(3), worker.call(4)]
    frames = [worker.read() for _ in range(4)]
    assert [(frame.kind, frame.call) for frame in frames] == [
        (NOTES, calls[0]), (RESULT, calls[0]), (NOTES, calls[1]), (RESULT, calls[1]),
    ]  # fmt: skip
    assert [frame.json[0][2] for frame in frames[::2]] == [3.0, 4.0]


def test_a_handler_that_notes_nothing_sends_nothing_more(sidecar: FakeSidecar) -> None:
    worker = sidecar.start("def process(payload, context): return context.id").worker()
    assert [frame.kind for frame in worker.answers(1)] == [RESULT]


@pytest.mark.parametrize(
    "call",
    ['count("a", "many")', 'count("a", float("nan"))', 'gauge("a", None)', 'observe("a", float("inf"))'],
)
def test_a_mistake_costs_a_line_and_never_the_message(sidecar: FakeSidecar, call: str) -> None:
    worker = sidecar.start(f"def process(payload, context):\n    context.{call}\n    return payload").worker()
    assert worker.result(1) == 1
    assert sidecar.done() == 0
    assert "left out" in sidecar.stderr


def test_a_call_cannot_note_without_end(sidecar: FakeSidecar) -> None:
    worker = sidecar.start(
        "def process(payload, context):\n    for _ in range(payload): context.count('a')\n    return payload"
    ).worker()
    notes, _ = worker.answers(5000)
    assert len(notes.json) == 1001
    assert sidecar.done() == 0
    assert sidecar.stderr.count("more metrics and attributes") == 1


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (".metrics", {}),
        (".metrics.a.b", 1),
        (".metrics[0]", 1),
        (".metrics.a", {"add": 1, "set": 2}),
        (".metrics.a", {"labels": {}}),
        (".metrics.a", {"add": 1, "label": {}}),
        (".metrics.a", {"add": 1, "labels": []}),
        (".span", {"a": 1}),
    ],
)
def test_a_wrong_path_or_shape_is_an_error(path: str, value: object) -> None:
    message = Message(b"{}", None)
    with pytest.raises(ABIError, match=r"\.metrics|\.span"):
        message.set(path, value)
    assert message.notes == []


@pytest.mark.parametrize("verb", ["get", "delete"])
def test_metrics_cannot_be_read_back(verb: str) -> None:
    with pytest.raises(ABIError):
        getattr(Message(b"{}", None), verb)(".metrics.a")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (True, True), (2, 2), (0.5, 0.5), (float("nan"), "nan"), (None, "None"), ({"a": 1}, "{'a': 1}"),
        ([1, "a"], ["1", "a"]), ([], []), ("\ud800", "\\ud800"),
    ],
)  # fmt: skip
def test_attributes_become_what_opentelemetry_takes(value: Any, kept: Any) -> None:
    message = Message(b"{}", None)
    message.note("attribute", "a", value, {})
    assert message.notes == [("attribute", "a", kept, {})]


TRACED = """
from opentelemetry import trace

{declaration} process(payload):
    span = trace.get_current_span().get_span_context()
    {verb} [format(span.trace_id, "032x"), format(span.span_id, "016x"), span.trace_state.to_header()]
"""
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("declaration", "verb"),
    [("def", "return"), ("async def", "return"), ("def", "yield"), ("async def", "yield")],
)
def test_spans_of_the_handler_go_on_the_calls_trace(sidecar: FakeSidecar, declaration: str, verb: str) -> None:
    worker = sidecar.start(TRACED.format(declaration=declaration, verb=verb)).worker()
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}
    first = worker.answers(1, {**META, "headers": headers})[0]
    assert first.payload == [TRACE, SPAN, "vendor=1"]
    assert worker.answers(1, META)[0].payload == ["0" * 32, "0" * 16, ""], "nothing is left over"


COUNTED = """
import prometheus_client

seen = prometheus_client.Counter("seen", "Messages seen.", ["kind"])
size = prometheus_client.Histogram("size_bytes", "Sizes.", buckets=[10, 100])

{declaration} process(payload):
    seen.labels("a").inc(payload)
    size.observe(payload)
    return payload
"""


def registry(worker: Connection) -> dict[str, Any]:
    frame = worker.read()
    assert (frame.kind, frame.call) == (REGISTRY, 0)
    return {family[0]: family for family in frame.json}


@pytest.mark.parametrize("declaration", ["def", "async def"])
def test_the_handlers_own_prometheus_registry_is_told(sidecar: FakeSidecar, declaration: str) -> None:
    worker = sidecar.start(COUNTED.format(declaration=declaration)).worker()
    assert registry(worker)["seen"][3] == [], "told before the first call"
    assert worker.result(5) == 5
    families = registry(worker)
    assert families["seen"] == ["seen", "counter", "Messages seen.", [["seen_total", {"kind": "a"}, 5.0]]]
    assert ["size_bytes_bucket", {"le": "10.0"}, 1.0] in families["size_bytes"][3]
    assert all(name in ("seen", "size_bytes") for name in families), "nothing of the process itself"
    for _ in range(3):
        assert worker.result(7) == 7  # within the second: told once, when it is over, without another call
    assert registry(worker)["seen"][3] == [["seen_total", {"kind": "a"}, 26.0]]


def test_without_that_library_nothing_is_told(sidecar: FakeSidecar) -> None:
    worker = sidecar.start("import sys\ndef process(payload): return 'prometheus_client' in sys.modules").worker()
    assert worker.result(1) is False
    assert worker.result(1) is False
