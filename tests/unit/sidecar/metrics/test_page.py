"""`/metrics` over HTTP, read by the official parsers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from tests.unit.sidecar.metrics.passing import ACTOR, passed

from asya_sidecar.metrics import definitions as known
from asya_sidecar.metrics.page import Page
from asya_sidecar.metrics.recorder import Recorder
from asya_sidecar.serve import HttpServer


@dataclass
class Snapshot:
    """The loop at one moment."""

    received: int = 7
    held: int = 5
    active: int = 3
    waiting: int = 1
    slots: int = 4
    blockers: frozenset[str] = field(default_factory=frozenset)
    connected: bool = True


def page(running: Snapshot, hops: int = 1) -> Page:
    recorder = Recorder(ACTOR)
    for _ in range(hops):
        recorder.passed(passed())
    return Page(ACTOR, "test", "sqlite", lambda name: f"asya_test_{name}", recorder, running)


async def test_both_formats_say_the_same() -> None:
    shown = page(Snapshot(), hops=3)
    text, plain_type = await shown.scrape("text/plain;version=0.0.4")
    openmetrics, open_type = await shown.scrape("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert plain_type.startswith("text/plain")
    assert open_type.startswith("application/openmetrics-text; version=1.0.0")

    def ours(families: object) -> dict[tuple[str, ...], float]:
        return {
            (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
            for family in families  # type: ignore[attr-defined]  # an iterable of families
            for sample in family.samples
            if sample.name.startswith("asya_")
        }

    first, second = ours(parse_text(text.decode())), ours(parse_openmetrics(openmetrics.decode()))
    assert first == second
    key = ("asya_actor_messages_processed_total", "actor=embed", "namespace=test", "queue=asya_test_embed")
    assert first[(*key, "status=success")] == 3
    assert first["asya_actor_active_messages", "actor=embed", "namespace=test"] == 3
    assert first["asya_actor_messages_received_total", *key[1:], "transport=sqlite"] == 7


async def test_every_metric_has_its_type_and_its_labels() -> None:
    recorder = page(Snapshot())
    recorder._recorder.circuit("embed", "closed")
    recorder._recorder.limited(0.5, "embed")
    body, _ = await recorder.scrape("")
    families = {family.name: family for family in parse_text(body.decode())}
    without_samples = {known.END_TO_END.name, known.HOP_COUNT.name, known.HANDLER_REFUSED.name}
    for metric in known.ALL:
        if metric.name in without_samples:
            continue
        family = families[metric.name.removesuffix("_total")]
        assert family.type == metric.kind
        assert family.documentation == metric.help
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == {*known.CONSTANT_LABELS, *metric.labels}
    ours = {name for name in families if name.startswith("asya_")}
    assert ours <= {metric.name.removesuffix("_total") for metric in known.ALL}
    assert "process_resident_memory_bytes" in families


@pytest.mark.parametrize(
    ("blocker", "reason"),
    [
        ("no runtime", "no_runtime"),
        ("the runtime is stopping", "runtime_stopping"),
        ("draining", "draining"),
        ("the broker does not take messages", "broker_refuses"),
        ("neither the destination nor x-sump can be reached", "unreachable"),
        ("something new", "other"),
    ],
)
async def test_why_nothing_is_received(blocker: str, reason: str) -> None:
    body, _ = await page(Snapshot(blockers=frozenset((blocker,)))).scrape("")
    samples = [s for family in parse_text(body.decode()) for s in family.samples if s.name == known.STOPPED.name]
    assert {s.labels["reason"] for s in samples if s.value == 1} == {reason}
    assert {s.labels["reason"] for s in samples} == set(known.STOPPED.values["reason"])


async def test_it_is_served_beside_other_paths() -> None:
    server = HttpServer(("127.0.0.1", 0), {"/metrics": page(Snapshot(connected=False)).route})
    port = await server.open()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        answer = await client.get("/metrics?name=x", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert answer.text.endswith("# EOF\n")
        assert 'asya_actor_broker_connected{actor="embed",namespace="test",transport="sqlite"} 0.0' in answer.text
        assert (await client.get("/nothing")).status_code == 404
    await server.close()


def test_the_library_is_not_loaded_before_the_first_scrape() -> None:
    code = (
        "import sys, asya_sidecar.main, asya_sidecar.metrics.page, asya_sidecar.metrics.recorder;"
        "print([name for name in sys.modules if name.split('.')[0] in ('prometheus_client', 'opentelemetry')])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == "[]"
