"""What a run consists of."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from benchmarks.bench import FULL, QUICK, Bench, Scale, expected
from benchmarks.kinds import KINDS, NAMES, OURS
from benchmarks.ring import Ring
from benchmarks.rows import select
from benchmarks.workers import PodSettings
from tests.support.rabbitmq import Broker


def names(scale: Scale, *rows: str) -> list[str]:
    ring = Ring(cast("Broker", None), Path(), Path(), PodSettings(), lambda _: None, 0.05)
    return [step.name for step in Bench(scale, ring, select(rows, quick=scale is QUICK)).steps()]


def test_kinds_take_turns_in_every_round_and_another_order_in_each() -> None:
    found = [name for name in names(FULL, "hop.rabbitmq.quorum") if name.startswith("quorum, ")]
    rounds = [found[at : at + len(KINDS)] for at in range(0, len(found), len(KINDS))]
    assert len(rounds) == FULL.rounds == 5
    assert all(sorted(each) == sorted(f"quorum, {kind.name}" for kind in KINDS) for each in rounds)
    assert len({each[0] for each in rounds}) == FULL.rounds


@pytest.mark.parametrize("scale", [FULL, QUICK], ids=lambda scale: scale.name)
def test_every_form_measures_us_and_every_framework_on_both_queue_types(scale: Scale) -> None:
    found = names(scale)
    for name in (OURS, *NAMES):
        assert f"quorum, {name}" in found
        assert f"classic, {name}" in found
    for name in ("SQLite", "start", "calls", "memory", "reconnects", "asya up idles", "a replica", f"1 MiB, {OURS}"):
        assert name in found, name


def test_one_row_alone_brings_nothing_else() -> None:
    assert names(QUICK, "call") == ["calls"]
    assert names(QUICK, "memory") == ["memory"]
    assert names(QUICK, "curve.actors") == [f"curve.actors {count}" for count in (1, 2, 4, 8)]


def test_forms_are_expected_to_take_no_longer_than_they_may() -> None:
    ring = Ring(cast("Broker", None), Path(), Path(), PodSettings(), lambda _: None, 0.05)
    assert expected(Bench(FULL, ring, select([])).steps()) < 25 * 60
    assert expected(Bench(QUICK, ring, select([], quick=True)).steps()) < 90
