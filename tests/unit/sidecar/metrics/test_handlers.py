"""What handlers count is checked and bounded."""

from __future__ import annotations

import logging

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

from asya_sidecar.metrics.custom import from_json
from asya_sidecar.metrics.handlers import BUCKETS, MOST_LABELS, MOST_METRICS, MOST_SERIES, HandlerMetrics
from asya_sidecar.metrics.numbers import Histogram
from asya_sidecar.notes import Note, read


def values(metrics: HandlerMetrics) -> dict[tuple[str, ...], float | Histogram]:
    return {
        (metric.name, *labels): number
        for metric, labels, number in metrics.series()
        if metric.name.startswith("asya_handler_")
    }


def refused(metrics: HandlerMetrics) -> dict[str, float | Histogram]:
    return {labels[0]: n for m, labels, n in metrics.series() if m.name.startswith("asya_actor_handler") and n}


def test_the_three_kinds() -> None:
    metrics = HandlerMetrics()
    metrics.take([("add", "tokens", 3, {"model": "m"}), ("set", "loaded", 1.5, {}), ("observe", "score", 0.3, {})])
    metrics.take([("add", "tokens_total", 4, {"model": "m"}), ("set", "loaded", 0.5, {}), ("observe", "score", 7, {})])
    found = values(metrics)
    assert found["asya_handler_tokens_total", "m"] == 7
    assert found["asya_handler_loaded",] == 0.5
    score = found["asya_handler_score",]
    assert isinstance(score, Histogram)
    assert (sum(score.counts), score.total) == (2, 7.3)
    assert score.bounds == list(BUCKETS)
    assert refused(metrics) == {}


@pytest.mark.parametrize(
    ("notes", "reason"),
    [
        ([("add", "9lives", 1, {})], "invalid"),
        ([("add", "with-dash", 1, {})], "invalid"),
        ([("add", "x" * 101, 1, {})], "invalid"),
        ([("add", "a", -1, {})], "invalid"),
        ([("add", "a", "1", {})], "invalid"),
        ([("add", "a", True, {})], "invalid"),
        ([("multiply", "a", 1, {})], "invalid"),
        ([("add", "a", 1, {"le": "x"})], "invalid"),
        ([("add", "a", 1, {"actor": "x"})], "invalid"),
        ([("add", "a", 1, {"two words": "x"})], "invalid"),
        ([("add", "a", 1, {f"label{n}": "x" for n in range(MOST_LABELS + 1)})], "invalid"),
        ([("add", "a", 1, {}), ("set", "a_total", 1, {})], "conflict"),
        ([("set", "a", 1, {}), ("observe", "a", 1, {})], "conflict"),
        ([("set", "a", 1, {}), ("add", "a", 1, {})], "conflict"),
        ([("observe", "a", 1, {}), ("set", "a_count", 1, {})], "conflict"),
        ([("set", "a", 1, {"x": "1"}), ("set", "a", 1, {"y": "1"})], "conflict"),
        ([("set", f"a{n}", 1, {}) for n in range(MOST_METRICS + 1)], "too-many-metrics"),
    ],
)
def test_what_cannot_be_counted_is_refused(notes: list[Note], reason: str, caplog: pytest.LogCaptureFixture) -> None:
    metrics = HandlerMetrics()
    with caplog.at_level(logging.WARNING, "asya.metrics"):
        metrics.take(notes)
        metrics.take(notes[-1:])
    assert refused(metrics) == {reason: 2}
    assert len(caplog.records) == 1, "said once"
    assert len(values(metrics)) == len(notes) - 1


def test_series_are_bounded_and_nothing_is_lost() -> None:
    metrics = HandlerMetrics()
    for number in range(MOST_SERIES + 50):
        metrics.take([("add", "seen", 1, {"user": f"u{number}"})])
    found = values(metrics)
    assert len(found) == MOST_SERIES + 1
    assert found["asya_handler_seen_total", "other"] == 50
    assert sum(number for number in found.values() if not isinstance(number, Histogram)) == MOST_SERIES + 50
    assert refused(metrics) == {"too-many-series": 50}


def test_what_is_announced_has_its_help_and_buckets() -> None:
    metrics = HandlerMetrics(
        from_json(
            '[{"name": "latency_seconds", "type": "histogram", "help": "Time.", "labels": ["model"],'
            ' "buckets": [0.1, 1]},'
            '{"name": "tokens_total", "type": "counter", "labels": ["b", "a"]}]'
        )
    )
    metrics.take([("observe", "latency_seconds", 0.5, {"model": "m"}), ("add", "tokens", 2, {"a": "1", "b": "2"})])
    metrics.take([("observe", "latency_seconds", 0.5, {})])
    found = values(metrics)
    latency = found["asya_handler_latency_seconds", "m"]
    assert isinstance(latency, Histogram)
    assert (latency.bounds, latency.counts) == ([0.1, 1.0], [0, 1, 0])
    assert found["asya_handler_tokens_total", "1", "2"] == 2
    assert {metric.help for metric, _, _ in metrics.series()} >= {"Time.", "Counted by the handler."}
    assert refused(metrics) == {"conflict": 1}


def test_attributes_are_not_counted() -> None:
    metrics = HandlerMetrics()
    metrics.take([("attribute", "gen_ai.request.model", "m", {})])
    assert values(metrics) == {}
    assert refused(metrics) == {}


@pytest.mark.parametrize(
    "body", [b"{}", b"[1]", b'[["add"]]', b"\xff", b'[["add","a",{},{}]]', b"[" * 100_000, b'[["add","\\ud800",1,{}]]']
)
def test_notes_that_cannot_be_read_are_left_out(body: bytes) -> None:
    assert read(body) == []


def test_no_notes() -> None:
    assert read(b"") == []


def test_whatever_the_values_are_the_page_can_be_read() -> None:
    from asya_sidecar.metrics.exposition import Exposition

    metrics = HandlerMetrics()
    metrics.take([("set", "odd", 1, {"path": 'C:\\new\n"line"'}), ("set", "long", 1, {"text": "é" * 500})])
    body, _ = Exposition(metrics.series, ("a", "n")).write("application/openmetrics-text; version=1.0.0")
    samples = {s.name: s for family in parse(body.decode()) for s in family.samples}
    assert samples["asya_handler_odd"].labels["path"] == 'C:\\new\n"line"'
    assert len(samples["asya_handler_long"].labels["text"]) == 128
