"""What a run consists of."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from benchmarks.bench import FULL, QUICK, Bench, Scale, expected
from benchmarks.kinds import KINDS, NAMES, OURS, SQS_KINDS
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
    assert names(QUICK, "call.") == ["calls"]
    assert names(QUICK, "memory.sidecar") == ["memory"]
    sqs = ["SQS and Pub/Sub", *(f"SQS, {kind.name}" for kind in SQS_KINDS)]
    assert names(QUICK, "hop.sqs") == sqs
    assert names(QUICK, "calls.sqs") == [*sqs, "SQS, a pod that idles"]
    assert names(QUICK, "start.sqs") == ["SQS and Pub/Sub", "start on SQS and Pub/Sub"]


def test_where_there_is_no_pubsub_emulator_its_rows_are_left_out_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tests.support.pubsub.FOLDERS", (tmp_path,))
    assert names(QUICK, "hop.pubsub", "start") == ["Pub/Sub", "SQS and Pub/Sub", "start", "start on SQS and Pub/Sub"]
    assert names(QUICK, "cpu.pubsub") == ["Pub/Sub"]
    assert names(QUICK, "curve.actors") == [f"curve.actors {count}" for count in (1, 2, 4, 8)]


def test_forms_are_expected_to_take_no_longer_than_they_may() -> None:
    ring = Ring(cast("Broker", None), Path(), Path(), PodSettings(), lambda _: None, 0.05)
    assert expected(Bench(FULL, ring, select([])).steps()) < 27 * 60
    assert expected(Bench(QUICK, ring, select([], quick=True)).steps()) < 130
