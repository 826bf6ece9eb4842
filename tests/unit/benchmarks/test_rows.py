"""Which rows and curves are chosen, and that every goal speaks of somebody who takes part."""

from __future__ import annotations

import pytest
from benchmarks.kinds import EVERYBODY, KINDS, rotated
from benchmarks.rows import BY_ID, CURVES, ROWS, select

ASKED = {
    "hop.rabbitmq.quorum", "hop.rabbitmq.classic", "hop.sqlite", "cpu.sidecar", "cpu.runtime", "fanout", "latency.p50",
    "latency.p99", "payload.1mib", "memory.sidecar", "start.sidecar", "idle.50", "call.pipelined", "call.sequential",
    "replica.memory", "fds.reconnects", "hop.sqs", "cpu.sqs", "calls.sqs", "memory.sqs", "start.sqs", "hop.pubsub",
    "cpu.pubsub", "memory.pubsub", "start.pubsub",
}  # fmt: skip


def test_the_rows_that_others_rely_on_exist_and_are_chosen_by_default() -> None:
    assert set(BY_ID) >= ASKED
    assert select([]) >= ASKED
    assert select([], quick=True) >= ASKED


def test_curves_are_left_out_of_the_quick_form_unless_named() -> None:
    assert set(CURVES) <= select([])
    assert not set(CURVES) & select([], quick=True)
    assert select(["curve.pre"], quick=True) == {"curve.prefetch"}


def test_select_takes_prefixes() -> None:
    assert select(["hop.rabbit"]) == {"hop.rabbitmq.quorum", "hop.rabbitmq.classic"}
    assert select(["call.seq", "memory.si"]) == {"call.sequential", "memory.sidecar"}


def test_select_names_what_fits_nothing() -> None:
    with pytest.raises(ValueError, match=r"no row begins with hops; there are .*hop\.sqlite"):
        select(["hop.sqlite", "hops"])


def test_goals_and_parts_name_what_there_is() -> None:
    for row in ROWS:
        assert {name for goal in row.goals for name in goal.of} <= {kind.name for kind in EVERYBODY}
        assert set(row.also) <= set(BY_ID)


def test_nobody_is_first_or_follows_the_same_one_in_every_round() -> None:
    orders = [rotated(KINDS, number) for number in range(len(KINDS))]
    assert {order[0] for order in orders} == set(KINDS)
    assert all(set(order) == set(KINDS) for order in orders)
    assert rotated(KINDS, len(KINDS)) == KINDS[::-1]
