"""Traces of a whole mesh, as a real OpenTelemetry Collector receives them: one tree for each task."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.mesh import Mesh, rabbitmq, sqlite
from tests.support.otel import Collector, Span

from asya.settings import load
from asya.transports import Outgoing, QueueSpec, Transport, open_transport
from asya.transports.settings import TransportSettings
from asya.wire import Envelope, encode, new_envelope, raw

ROOT = Path(__file__).resolve().parents[2]
HANDLERS = """
import time

def load(payload):
    for number in range(payload["pictures"]):
        yield {"picture": number}

def pass_on(payload):
    time.sleep(0.02)  # the work
    return payload

def upscale(payload, context):
    time.sleep(0.03)
    if payload["picture"] == 1 and context.attempt == 1:
        raise MemoryError("no room for picture 1")
    return payload

def gate(payload, context):
    time.sleep(0.01)
    if payload["picture"] == 2:
        raise ValueError("picture 2 is too dark")
    context.route.next = ["sheet"]
    return payload

def seen(payload, context):
    return {**payload, "traceparent": context.headers["traceparent"]}

def end(payload):
    return None
"""
FUNCTIONS = {
    "load": "load", "denoise": "pass_on", "upscale": "upscale", "gate": "gate", "sheet": "seen", "repair": "pass_on",
    "x-sink": "end", "x-sump": "end",
}  # fmt: skip
RETRY = {
    "ASYA_RESILIENCY_POLICIES": json.dumps(
        {
            "default": {"maxAttempts": 1},
            "again": {"maxAttempts": 3, "initialDelay": "200ms", "jitter": False},
            "mend": {"maxAttempts": 1, "onExhausted": ["repair"]},
        }
    ),
    "ASYA_RESILIENCY_RULES": json.dumps(
        [{"errors": ["MemoryError"], "policy": "again"}, {"errors": ["KeyError"], "policy": "mend"}]
    ),
}


@asynccontextmanager
async def running(
    folder: Path, tracing: dict[str, str], settings: dict[str, str] | None = None
) -> AsyncIterator[Transport]:
    """All actors, each with its own sidecar and runtime; the transport to send with."""
    (folder / "traced.py").write_text(HANDLERS)
    settings = settings or sqlite(folder / "queue.db")
    transport = open_transport(load(TransportSettings, settings))
    await transport.open()
    await transport.declare([QueueSpec(actor) for actor in FUNCTIONS])
    async with Mesh(folder / "mesh", settings) as mesh:
        for actor, function in FUNCTIONS.items():
            mesh.pod(actor, f"traced.{function}", modules=[folder], sidecar={**RETRY, **tracing})
        await asyncio.gather(*(pod.start() for pod in mesh.pods))
        yield transport
        mesh.check()
    await transport.close()


async def send(transport: Transport, route: list[str], payload: object, **headers: str) -> Envelope:
    texts = {name: raw(value) for name, value in headers.items()}
    envelope = new_envelope(route, raw(payload), now=time.time(), headers=texts)
    await transport.publish([Outgoing(route[0], encode(envelope))])
    return envelope


async def until(receiver: Collector, ends: int) -> list[Span]:
    """Wait until so many messages have been settled at the end of their route."""

    def all_there(spans: list[Span]) -> bool:
        ended = [s for s in spans if s.operation == "settle" and s.attributes["asya.actor"] in ("x-sink", "x-sump")]
        return len(ended) >= ends

    return await asyncio.to_thread(receiver.until, all_there, 60.0)


def outline(spans: list[Span]) -> str:
    """The tree as indented names, in the order of their start; receive and settle, which each hop has, left out."""
    known = {span.id for span in spans}
    (root,) = {span.parent for span in spans} - known
    lines: list[str] = []

    def below(parent: str, depth: int) -> None:
        for span in spans:
            if span.parent == parent and span.operation not in ("receive", "settle"):
                lines.append("  " * depth + span.name.replace("asya_test_", ""))
                below(span.id, depth + 1)

    below(root, 0)
    return "\n".join(lines)


def way(*actors: str, after: str = "") -> str:
    """One message's way: each hop in the tree below the one before it."""
    if not actors:
        return after
    first, *rest = actors
    hop = f"send {first}\n  process {first}\n    call {first}"
    onward = way(*rest, after=after)
    return hop + ("\n" + textwrap.indent(onward, "    ") if onward else "")


@pytest.mark.parametrize(
    "engine", ["sqlite", *(pytest.param(each, marks=pytest.mark.slow) for each in ("fast", "aio-pika"))]
)
async def test_each_task_is_one_tree(
    receiver: Collector, tmp_path: Path, engine: str, request: pytest.FixtureRequest
) -> None:
    settings = None
    if engine != "sqlite":
        settings = rabbitmq(request.getfixturevalue("rabbitmq_url"), ASYA_RABBITMQ_ENGINE=engine)
    async with running(tmp_path, {"ASYA_TRACING_ENDPOINT": receiver.grpc}, settings) as transport:
        await send(transport, ["load", "denoise", "upscale", "gate"], {"pictures": 1})
        await until(receiver, 1)  # every process is there now: the picture shows work, not their start
        task = await send(transport, ["load", "denoise", "upscale", "gate"], {"pictures": 3})
        await until(receiver, 4)
    found = receiver.spans()  # the sidecars have stopped: what they had left has been sent
    (trace,) = {span.trace for span in found if span.attributes.get("messaging.message.id") == task.id}
    assert len({span.trace for span in found}) == 2
    spans = [span for span in found if span.trace == trace]
    by_id = {span.id: span for span in spans}
    assert len(by_id) == len(spans)
    load = "create load\n  process load\n    call load\n"
    pictures = [
        way("denoise", "upscale", "upscale", "gate", "sheet", "x-sink"),  # tried twice
        way("denoise", "upscale", "gate", "x-sink"),  # failed
        way("denoise", "upscale", "gate", "sheet", "x-sink"),
    ]
    assert outline(spans) == load + textwrap.indent("\n".join(pictures), "    ")
    check_retry(spans, by_id)
    check_failure(spans)
    check_conventions(spans, by_id, "sqlite" if settings is None else "rabbitmq")
    draw(receiver.file, trace, ROOT / "build" / "trace" / ("demo.svg" if settings is None else f"{engine}.svg"))


def check_retry(spans: list[Span], by_id: dict[str, Span]) -> None:
    """Two attempts: the second in the tree below the first, and linked to it."""
    first, second = (s for s in spans if s.name == "process asya_test_upscale" and is_child_with_retry(s, spans))
    assert first.failed
    assert not second.failed
    assert (first.attributes["asya.attempt"], second.attributes["asya.attempt"]) == (1, 2)
    assert first.attributes["asya.outcome"] == "retried"
    assert first.attributes["error.type"] == "MemoryError"
    assert [event.attributes["exception.type"] for event in first.events] == ["MemoryError"]
    assert by_id[second.parent].attributes["asya.message_type"] == "retry"
    assert by_id[second.parent].parent == first.id
    assert second.links == ((first.id, {"asya.link": "previous attempt"}),)


def is_child_with_retry(span: Span, spans: list[Span]) -> bool:
    tried = [s for s in spans if s.failed and s.attributes.get("error.type") == "MemoryError"]
    return span.attributes["asya.envelope_id"] == tried[0].attributes["asya.envelope_id"]


def check_failure(spans: list[Span]) -> None:
    """The failed picture's way to x-sink is in the same tree."""
    (failed,) = (s for s in spans if s.name == "process asya_test_gate" and s.failed)
    assert failed.attributes["asya.outcome"] == "error"
    assert failed.attributes["asya.reason"] == "policy_exhausted"
    (onward,) = (s for s in spans if s.parent == failed.id and s.operation == "send")
    assert onward.name == "send asya_test_x-sink"
    assert [s.name for s in spans if s.parent == onward.id] == [
        "receive asya_test_x-sink",
        "process asya_test_x-sink",
    ]


def check_conventions(spans: list[Span], by_id: dict[str, Span], system: str) -> None:
    """Kinds, attributes, parents and times of every span."""
    kinds = {
        "create": "producer", "send": "producer", "receive": "client", "process": "consumer", "settle": "client",
        "call": "internal",
    }  # fmt: skip
    parents = {
        "create": {None}, "receive": {"create", "send"}, "process": {"create", "send"}, "call": {"process"},
        "send": {"process"}, "settle": {"process"},
    }  # fmt: skip
    for span in spans:
        parent = by_id.get(span.parent)
        assert span.kind == kinds[span.operation], span.name
        assert (parent.operation if parent else None) in parents[span.operation], span.name
        assert span.start <= span.end, span.name
        if parent is not None and span.operation != "create":
            assert span.start >= parent.start - 2_000_000, f"{span.name} begins before what caused it"
        assert span.resource["service.namespace"] == "test"
        if span.operation == "call":
            continue
        assert span.attributes["messaging.system"] == system
        assert span.attributes["messaging.operation.type"] == span.operation
        assert span.name == f"{span.operation} {span.attributes['messaging.destination.name']}"
        assert span.attributes["messaging.message.id"] == span.attributes["asya.envelope_id"]
    processed = [span for span in spans if span.operation == "process"]
    for operation in ("receive", "settle"):
        assert len([span for span in spans if span.operation == operation]) == len(processed)


def draw(file: Path, trace: str, target: Path) -> None:
    subprocess.run([sys.executable, ROOT / "tools" / "waterfall.py", file, target, trace], check=True, timeout=60)
    assert target.read_text().startswith("<svg")


async def test_a_trace_that_is_there_goes_on_over_http(receiver: Collector, tmp_path: Path) -> None:
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    tracing = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.http, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    async with running(tmp_path, tracing) as transport:
        await send(
            transport, ["sheet"], {"picture": 0}, traceparent=f"00-{trace}-{span}-01", tracestate="vendor=1,other=2"
        )
        await send(transport, ["sheet"], {"picture": 0}, traceparent=f"00-{trace}-{span}-00")
        await until(receiver, 1)
    spans = receiver.spans()
    assert {s.trace for s in spans} == {trace}, "the message that is not sampled has left nothing"
    assert {s.state for s in spans} == {"vendor=1,other=2"}
    first = [s for s in spans if s.name == "process asya_test_sheet"]
    assert [s.parent for s in first] == [span]


async def test_failure_paths_stay_in_their_trace(receiver: Collector, tmp_path: Path) -> None:
    tracing = {"ASYA_TRACING_ENDPOINT": receiver.grpc, "ASYA_TRACING_SAMPLE_RATIO": "1"}
    async with running(tmp_path, tracing) as transport:
        await transport.publish([Outgoing("sheet", b"no envelope at all")])
        await send(transport, ["upscale"], {"no": "picture"})  # KeyError: onExhausted
        await send(transport, ["gate", "nowhere-at-all"], {"picture": 2})
        await until(receiver, 3)
    spans = receiver.spans()
    traces: dict[str, list[str]] = {}
    for span in spans:
        if span.operation in ("process", "create"):
            traces.setdefault(span.trace, []).append(span.name.replace("asya_test_", ""))
    assert sorted(traces.values()) == [
        ["create gate", "process gate", "process x-sink"],
        ["create sheet", "process sheet", "process x-sump"],
        ["create upscale", "process upscale", "process repair", "process x-sink"],
    ]
    (routed,) = (s for s in spans if s.name == "send asya_test_repair")
    assert routed.attributes["asya.message_type"] == "on_exhausted"


async def test_with_tracing_off_headers_pass_unchanged(tmp_path: Path) -> None:
    headers = {"traceparent": "not one", "tracestate": "vendor=1"}
    async with running(tmp_path, {}) as transport:
        got: asyncio.Queue[bytes] = asyncio.Queue()
        await transport.declare([QueueSpec("test-end")])
        consumer = await transport.consume("test-end", 1, lambda delivery: got.put_nowait(delivery.body))
        await send(transport, ["denoise", "test-end"], {"picture": 0}, **headers)
        arrived = json.loads(await asyncio.wait_for(got.get(), 30))
        await consumer.close()
    assert {name: arrived["headers"][name] for name in headers} == headers
