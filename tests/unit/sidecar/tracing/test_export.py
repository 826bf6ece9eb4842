"""Exporting never holds up anybody, and what is missing is said."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest

from asya.errors import SettingsError
from asya.settings import load
from asya_sidecar.decide import Actor
from asya_sidecar.settings import SidecarSettings, TracingSettings
from asya_sidecar.tracing.export import Export
from asya_sidecar.watch import Watch

NOBODY = {"ASYA_TRACING_ENDPOINT": "http://127.0.0.1:1"}
BASE = {"ASYA_ACTOR_NAME": "a", "ASYA_NAMESPACE": "n", "ASYA_TRANSPORT": "sqlite"}


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
async def test_a_receiver_that_is_away_holds_up_neither_work_nor_end(protocol: str) -> None:
    export = Export(load(TracingSettings, {**NOBODY, "ASYA_TRACING_PROTOCOL": protocol}), "a", "n")
    tracer = export.provider.get_tracer("test")
    taken = []
    for _ in range(5000):  # more than the queue holds
        began = time.monotonic()
        tracer.start_span("span").end()
        taken.append(time.monotonic() - began)
    # What holds work up does so for each span that finds the queue full; a busy machine's pauses are single ones.
    assert sorted(taken)[len(taken) * 99 // 100] < 0.05
    async with asyncio.timeout(10):
        await export.close(seconds=0.2)


def test_the_resource_names_the_actor_unless_the_standard_variable_does(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(TracingSettings, NOBODY)
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.namespace=other")
    about = Export(settings, "embed", "n").provider.resource.attributes
    assert about["service.name"] == "embed"
    assert about["service.namespace"] == "other"
    assert about["deployment.environment.name"] == "test"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    assert Export(settings, "embed", "n").provider.resource.attributes["service.name"] == "mine"


@pytest.mark.parametrize(
    ("protocol", "module", "extra"),
    [
        ("grpc", "opentelemetry.exporter.otlp.proto.grpc.trace_exporter", "otlp-grpc"),
        ("http", "opentelemetry.exporter.otlp.proto.http.trace_exporter", "otlp-http"),
    ],
)
def test_an_exporter_that_is_not_installed_is_named(
    protocol: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    settings = load(SidecarSettings, {**BASE, **NOBODY, "ASYA_TRACING_PROTOCOL": protocol})
    with pytest.raises(SettingsError, match=rf"asya-sidecar\[{extra}\]"):
        Watch(settings, Actor(name="a"))


def test_the_standards_variable_alone_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.grpc.trace_exporter", None)
    settings = load(SidecarSettings, {**BASE, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    assert Watch(settings, Actor(name="a")).tracer is None
    assert "asya-sidecar[otlp-grpc]" in caplog.text


def test_nothing_is_made_that_was_not_asked_for() -> None:
    watch = Watch(load(SidecarSettings, BASE), Actor(name="a"))
    assert (watch.observer, watch.tracer, watch.registries) == (None, None, None)
