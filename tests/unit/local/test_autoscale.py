"""The autoscaler's decisions as tables."""

import pytest

from asya.local.autoscale import STABILIZATION_SECONDS, Decision, History, Scaling, backlog_of, desired

FRESH = History(started_at=0.0)


def run(scaling: Scaling, steps: list[tuple[float, int]]) -> list[int]:
    """Feed (time, backlog) pairs; each decision is carried out at once."""
    history, current, seen = FRESH, 0, []
    for now, backlog in steps:
        decision: Decision = desired(scaling, history, backlog=backlog, current=current, now=now)
        history, current = decision.history, decision.replicas
        seen.append(current)
    return seen


@pytest.mark.parametrize(
    ("backlog", "scaling", "wanted", "reason"),
    [
        (0, Scaling(), 0, "nothing to do, nothing runs"),
        (1, Scaling(), 1, "one message wakes the actor"),
        (5, Scaling(queue_length=5), 1, "just one replica's worth"),
        (6, Scaling(queue_length=5), 2, "rounded up"),
        (200, Scaling(queue_length=5, max_replicas=3), 3, "never above the maximum"),
        (0, Scaling(min_replicas=2), 2, "never below the minimum"),
        (1, Scaling(min_replicas=2), 2, "never below the minimum when active"),
        (0, Scaling(min_replicas=2, idle_replicas=0), 0, "idleReplicaCount is below the minimum on purpose"),
        (1, Scaling(min_replicas=2, idle_replicas=0), 2, "and active means the minimum again"),
        (3, Scaling(activation=3), 0, "activation is strictly above"),
        (4, Scaling(activation=3), 1, "one above the activation"),
        (3, Scaling(activation=3, min_replicas=1, queue_length=1), 3, "never at zero: activation has no meaning"),
        (100, Scaling(fixed=2), 2, "scaling is off"),
        (0, Scaling(fixed=2), 2, "scaling is off, idle too"),
        (100, Scaling(paused=True), 0, "paused: left as it is"),
    ],
)
def test_the_first_decision(backlog: int, scaling: Scaling, wanted: int, reason: str) -> None:
    assert desired(scaling, FRESH, backlog=backlog, current=0, now=1.0).replicas == wanted, reason


def test_from_zero_up_and_back_with_the_cooldown_only_for_the_last_replica() -> None:
    window = STABILIZATION_SECONDS
    scaling = Scaling(queue_length=10, max_replicas=4, cooldown=20.0)
    steps = [
        (0.0, 0, 0),
        (1.0, 35, 4),
        (2.0, 12, 4),  # fewer would do, but not for long enough
        (1.0 + window, 12, 2),  # the window holds wishes of 2 only
        (2.0 + window, 0, 2),
        (2.0 + 2 * window, 0, 1),  # down to one at once, to none only after the cooldown
        (1.0 + window + 19.9, 0, 1),
        (1.0 + window + 20.0, 0, 0),
        (1.0 + window + 21.0, 0, 0),
        (1.0 + window + 22.0, 1, 1),
    ]
    assert run(scaling, [(now, backlog) for now, backlog, _ in steps]) == [wanted for _, _, wanted in steps]


def test_a_new_message_during_the_cooldown_starts_it_anew() -> None:
    assert run(Scaling(cooldown=10.0), [(0, 1), (9, 0), (9.5, 1), (19, 0), (19.5, 0)]) == [1, 1, 1, 1, 0]


def test_no_cooldown_means_at_once() -> None:
    assert run(Scaling(cooldown=0.0, queue_length=1), [(0, 3), (1, 0)]) == [3, 0]


def test_the_minimum_stays_after_the_cooldown() -> None:
    assert run(Scaling(cooldown=1.0, min_replicas=1, queue_length=1), [(0, 3), (60, 0), (61, 0)])[-1] == 1


def test_the_initial_cooldown_keeps_a_replica_that_was_started() -> None:
    scaling = Scaling(cooldown=1.0, initial_cooldown=30.0)
    assert run(scaling, [(0, 1), (10, 0), (29, 0), (30, 0)]) == [1, 1, 1, 0]


def test_scaling_up_is_never_held_back() -> None:
    assert run(Scaling(queue_length=1, max_replicas=10), [(0, 1), (0.1, 4), (0.2, 9)]) == [1, 4, 9]


@pytest.mark.parametrize(
    ("scaling", "counted"),
    [(Scaling(), 3), (Scaling(scale_on_in_flight=False), 1), (Scaling(scale_on_delayed=True), 7)],
)
def test_what_counts_as_backlog(scaling: Scaling, counted: int) -> None:
    assert backlog_of(scaling, ready=1, in_flight=2, delayed=4) == counted
