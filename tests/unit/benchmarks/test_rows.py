"""How rounds become the rows of build/bench/results.json."""

from __future__ import annotations

import pytest
from benchmarks.rows import ROWS, Samples, results, select


def samples(row: str, **values: list[float]) -> Samples:
    found = Samples()
    for name, figures in values.items():
        for figure in figures:
            found.add(row, figure, name)
    return found


def test_row_is_the_median_with_its_spread_against_its_goal() -> None:
    found = results(samples("hop.sqlite", asya=[2900.0, 9000.0, 3100.0]))
    assert found == {
        "hop.sqlite": {
            "value": 3100,
            "unit": "hops/s",
            "goal": 3000,
            "met": True,
            "spread": [2900, 9000],
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
        ("hop.sqlite.cpu.sidecar", 1e9, None),
    ],
)
def test_goal_is_judged_in_the_row_s_direction(row: str, value: float, met: bool | None) -> None:
    assert results(samples(row, asya=[value]))[row]["met"] is met


def test_rabbitmq_s_goal_is_half_more_than_the_better_alternative_of_the_same_run() -> None:
    found = results(samples("hop.rabbitmq", asya=[3000.0], FastStream=[1500.0], Dramatiq=[2000.0, 1900.0, 2400.0]))
    row = found["hop.rabbitmq"]
    assert (row["goal"], row["met"], row["against"]) == (3000, True, {"FastStream": 1500, "Dramatiq": 2000})


def test_rabbitmq_without_alternatives_has_no_goal() -> None:
    row = results(samples("hop.rabbitmq", asya=[3000.0]))["hop.rabbitmq"]
    assert (row["goal"], row["met"]) == (None, None)


def test_row_of_which_only_alternatives_were_measured_is_left_out() -> None:
    assert results(samples("hop.rabbitmq", FastStream=[1500.0])) == {}


def test_select_takes_prefixes() -> None:
    assert select(["hop"]) == {"hop.sqlite", "hop.rabbitmq"}
    assert select(["call.seq", "memory"]) == {"call.sequential", "memory.sidecar"}
    assert select([]) == {".".join(row.id.split(".")[:2]) for row in ROWS}


def test_select_names_what_fits_nothing() -> None:
    with pytest.raises(ValueError, match=r"no row begins with hops; there are .*hop\.sqlite"):
        select(["hop.sqlite", "hops"])
