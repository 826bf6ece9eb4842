"""The registries of several workers, put together."""

from __future__ import annotations

import json

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

from asya_sidecar.metrics.exposition import Exposition
from asya_sidecar.metrics.registries import MOST_GONE, MOST_SAMPLES, WorkerRegistries


def state(count: float, *, gauge: float = 0.0, name: str = "seen") -> bytes:
    return json.dumps(
        [
            [name, "counter", "Seen.", [[f"{name}_total", {"kind": "a"}, count]]],
            ["loaded", "gauge", "Loaded.", [["loaded", {}, gauge]]],
        ]
    ).encode()


def samples(registries: WorkerRegistries) -> dict[tuple[str, ...], float]:
    return {
        (name, *labels.values()): value for family in registries.families() for name, labels, value in family.samples
    }


def test_counters_are_summed_and_gauges_told_apart() -> None:
    registries = WorkerRegistries()
    registries.update(1, state(3, gauge=0.5))
    registries.update(2, state(4, gauge=0.7))
    registries.update(1, state(5, gauge=0.6))
    assert samples(registries) == {("seen_total", "a"): 9, ("loaded", "1"): 0.6, ("loaded", "2"): 0.7}


def test_what_a_worker_counted_stays_when_it_is_gone() -> None:
    registries = WorkerRegistries()
    registries.update(1, state(3, gauge=0.5))
    registries.gone(1)
    registries.update(2, state(4))
    assert samples(registries) == {("seen_total", "a"): 7, ("loaded", "2"): 0}


def test_a_worker_that_comes_back_is_not_counted_twice() -> None:
    registries = WorkerRegistries()
    registries.update(1, state(3))
    registries.gone(1)
    registries.update(1, state(4))
    assert samples(registries)["seen_total", "a"] == 4


def test_many_that_are_gone_are_one() -> None:
    registries = WorkerRegistries()
    for pid in range(MOST_GONE * 3):
        registries.update(pid, state(1))
        registries.gone(pid)
    assert samples(registries) == {("seen_total", "a"): MOST_GONE * 3}
    assert len(registries._states) == MOST_GONE


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'[["a"]]',
        state(1, name="asya_actor_messages_received"),
        json.dumps([["a", "gauge", "", [["a", {"n": str(n)}, 1] for n in range(MOST_SAMPLES + 1)]]]).encode(),
    ],
    ids=["shape", "short", "ours", "many"],
)
def test_what_cannot_be_shown_is_left_out_and_said_once(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    registries = WorkerRegistries()
    registries.update(1, state(3))
    registries.update(1, body)
    registries.update(1, body)
    assert samples(registries)["seen_total", "a"] == 3
    assert len(caplog.records) == 1


def test_they_stand_on_the_page_with_the_actors_labels() -> None:
    registries = WorkerRegistries()
    registries.update(1, state(3))
    body, _ = Exposition(tuple, ("embed", "test"), registries.families).write(
        "application/openmetrics-text;version=1.0.0"
    )
    (sample,) = (s for family in parse(body.decode()) for s in family.samples if s.name == "seen_total")
    assert (sample.labels, sample.value) == ({"actor": "embed", "namespace": "test", "kind": "a"}, 3)
