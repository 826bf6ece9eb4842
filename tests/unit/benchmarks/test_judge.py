"""How rounds become the rows of build/bench/results.json."""

from __future__ import annotations

import pytest
from benchmarks.judge import Samples, results
from benchmarks.kinds import NAMES


def samples(row: str, found: Samples | None = None, **values: list[float]) -> Samples:
    found = found or Samples()
    for name, figures in values.items():
        for number, figure in enumerate(figures):
            found.add(row, number, figure, name.replace("_", " ").replace("aio pika", "aio-pika"))
    return found


def test_row_is_the_median_with_its_spread_against_its_goal() -> None:
    assert results(samples("hop.sqlite", asya=[2900.0, 9000.0, 3100.0])) == {
        "hop.sqlite": {
            "value": 3100,
            "unit": "hops/s",
            "better": "more",
            "spread": [2900, 9000],
            "rounds": 3,
            "goal": "≥ 3,000 hops/s",
            "goals": [{"goal": "≥ 3,000 hops/s", "value": 3100, "met": True}],
            "met": True,
            "ratio": {},
            "against": {},
        }
    }


@pytest.mark.parametrize(
    ("row", "value", "met"),
    [
        ("hop.sqlite", 2999.0, False),
        ("hop.sqlite", 3000.0, True),
        ("call.pipelined", 15.0, True),
        ("call.pipelined", 15.1, False),
        ("memory.sidecar", 32.1, False),
        ("fds.reconnects", 1.0, False),
        ("cpu.sidecar.sqlite", 1e9, None),
    ],
)
def test_goal_is_judged_in_the_row_s_direction(row: str, value: float, met: bool | None) -> None:
    assert results(samples(row, asya=[value]))[row]["met"] is met


def test_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    # The machine was half as fast in the second round, for both: the medians alone would say 1.5.
    row = results(samples("fanout", asya=[4000.0, 2000.0, 3000.0], raw_loop=[2000.0, 1000.0, 3000.0]))["fanout"]
    assert row["ratio"] == {"raw loop": 2.0}
    assert row["against"] == {"raw loop": {"value": 2000, "spread": [1000, 3000]}}


def test_each_round_is_compared_with_the_best_framework_of_that_round() -> None:
    rates = {"FastStream": [1000.0, 2000.0], "Dramatiq": [2000.0, 1000.0], "Taskiq": [10.0, 10.0], "Celery": [9.0, 9.0]}
    found = samples("hop.rabbitmq.quorum", asya=[10_000.0, 12_000.0], raw_loop=[99_000.0, 99_000.0], **rates)
    others = {"aio_pika": [2000.0, 2000.0], "raw_loop,_json": [12_000.0, 12_000.0]}
    row = results(samples("hop.rabbitmq.quorum", found, **others))["hop.rabbitmq.quorum"]
    assert [(goal["value"], goal["met"]) for goal in row["goals"]] == [(5.5, True), (5.5, True), (0.92, True)]
    assert row["met"] is True


def test_goal_of_a_kind_that_was_not_measured_is_not_judged() -> None:
    row = results(samples("hop.rabbitmq.quorum", asya=[1e6], FastStream=[1.0]))["hop.rabbitmq.quorum"]
    assert [goal["met"] for goal in row["goals"]] == [None, None, None]
    assert row["met"] is None


def test_latency_must_be_below_each_framework() -> None:
    slower = {**{name: [1.1] for name in NAMES}, "aio_pika": [0.8], "raw_loop": [0.7]}
    assert results(samples("latency.p50", asya=[1.0], **slower))["latency.p50"]["met"] is True
    assert results(samples("latency.p50", asya=[1.0], **{**slower, "Taskiq": [0.9]}))["latency.p50"]["met"] is False


def test_row_is_met_only_when_what_belongs_to_it_is() -> None:
    good = samples("memory.sidecar", asya=[30.0])
    assert results(samples("memory.sidecar.drift", good, asya=[1.9]))["memory.sidecar"]["met"] is True
    assert results(samples("memory.sidecar.drift", good, asya=[2.1]))["memory.sidecar"]["met"] is False


def test_row_of_which_only_others_were_measured_is_left_out() -> None:
    assert results(samples("fanout", raw_loop=[1500.0])) == {}
