"""The examples of docs/guides/observability.md on real processes: what they count and say is seen from outside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
from tests.support.host import free_port
from tests.support.mesh import Mesh, sqlite
from tests.support.otel import Collector

from asya.settings import load
from asya.transports import Outgoing, QueueSpec, Transport, open_transport
from asya.transports.settings import TransportSettings
from asya.wire import encode, new_envelope, raw

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "guides" / "observe"
# What the platform's operator sets up in the handler's own process, so that its spans go somewhere.
SET_UP = """
import os
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter({endpoint!r})))
trace.set_tracer_provider(provider)

from own_libraries import infer
"""


@dataclass
class Running:
    """One actor that works, and its page."""

    transport: Transport
    port: int

    async def send(self, payload: object) -> None:
        envelope = new_envelope(["observe"], raw(payload), now=time.time())
        await self.transport.publish([Outgoing("observe", encode(envelope))])

    async def until(self, wanted: Mapping[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
        """Scrape until these samples are there, with a bound."""
        async with (
            asyncio.timeout(30),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", trust_env=False) as client,
        ):
            while True:
                try:
                    answer = await client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
                except httpx.ConnectError:
                    await asyncio.sleep(0.05)
                    continue
                samples = _samples(answer.text)
                if all(samples.get(key) == value for key, value in wanted.items()):
                    return samples
                await asyncio.sleep(0.05)


def _samples(text: str) -> dict[tuple[str, ...], float]:
    """Samples by name and labels (`name=value`), the constant ones and `pid` left out."""
    left_out = {"actor", "namespace", "pid"}
    return {
        (s.name, *(f"{name}={value}" for name, value in sorted(s.labels.items()) if name not in left_out)): s.value
        for family in parse(text)
        for s in family.samples
    }


@asynccontextmanager
async def running(
    folder: Path, handler: str, modules: Sequence[Path] = (EXAMPLES,), **settings: str
) -> AsyncIterator[Running]:
    where = sqlite(folder / "queue.db")
    transport = open_transport(load(TransportSettings, where))
    await transport.open()
    await transport.declare([QueueSpec(actor) for actor in ("observe", "x-sink", "x-sump")])
    port = free_port()
    async with Mesh(folder / "mesh", where) as mesh:
        address = {"ASYA_METRICS_ADDR": f"127.0.0.1:{port}", "ASYA_HEALTH_ADDR": f"127.0.0.1:{port}"}
        pod = mesh.pod("observe", handler, modules=modules, sidecar={**address, **settings})
        await pod.start()
        yield Running(transport, port)
        mesh.check()
    await transport.close()


async def test_numbers_by_context(tmp_path: Path) -> None:
    async with running(tmp_path, "handler.answer") as actor:
        await actor.send({"question": "what is the time", "model": "large"})
        await actor.send({"question": "and here"})
        samples = await actor.until(
            {
                ("asya_handler_tokens_total", "model=large"): 4,
                ("asya_handler_tokens_total", "model=small"): 2,
                ("asya_handler_question_words_count",): 2,
                ("asya_handler_question_words_sum",): 6,
                ("asya_actor_messages_processed_total", "queue=asya_test_observe", "status=success"): 2,
                ("asya_actor_messages_received_total", "queue=asya_test_observe", "transport=sqlite"): 2,
            }
            | {("asya_actor_active_messages",): 0}
        )
        ended = ("asya_actor_messages_sent_total", "destination_queue=asya_test_x-sink", "message_type=sink")
        assert samples[ended] == 2
        assert samples["asya_handler_longest_question_words",] in (2, 4)
        # Probes and metrics share the address.
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{actor.port}", trust_env=False) as client:
            assert (await client.get("/healthz")).status_code == 200


async def test_numbers_by_yield(tmp_path: Path) -> None:
    async with running(tmp_path, "handler.answer_by_yield") as actor:
        await actor.send({"question": "one two three"})
        await actor.until({("asya_handler_tokens_total", "model=small"): 3})


async def test_libraries_of_the_handler(receiver: Collector, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(SET_UP.format(endpoint=receiver.http + "/v1/traces"))
    tracing = {"ASYA_TRACING_ENDPOINT": receiver.grpc}
    async with running(tmp_path, "model.infer", (tmp_path, EXAMPLES), **tracing) as actor:
        await actor.send({"image": 1})
        await actor.until({("my_model_seconds_count", "model=small"): 1})
        await actor.send({"image": 2})
        await actor.until({("my_model_seconds_count", "model=small"): 2})
    names = ["call observe", "call observe", "inference", "inference"]
    spans = receiver.until(lambda all_: sorted(span.name for span in all_ if span.name in names) == names)
    by_id = {span.id: span for span in spans}
    own = [span for span in spans if span.name == "inference"]
    assert [by_id[span.parent].name for span in own] == ["call observe", "call observe"]
    assert len({span.trace for span in own}) == 2


async def test_attributes_of_the_handler(receiver: Collector, tmp_path: Path) -> None:
    async with running(tmp_path, "handler.answer", ASYA_TRACING_ENDPOINT=receiver.grpc) as actor:
        await actor.send({"question": "who", "model": "large"})
        await actor.until({("asya_handler_tokens_total", "model=large"): 1})
    (process,) = (
        span
        for span in receiver.until(lambda all_: any(span.operation == "process" for span in all_))
        if span.operation == "process"
    )
    assert process.attributes["gen_ai.request.model"] == "large"
