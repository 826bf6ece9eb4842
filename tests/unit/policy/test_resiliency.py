"""Policies, rules and durations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asya.errors import PolicyError
from asya.policy import Failure, Policy, Resiliency, Retry, Rule, format_duration, parse_duration
from asya.policy.resiliency import LONGEST_DELAY, Exhausted, TooLate
from asya.policy.text import policies_from_json, policies_to_json, rules_from_json, rules_to_json

NOW = 1000.0


def judge(resiliency: Resiliency, failure: Failure, **more: Any) -> Any:
    given_more = {"attempt": 1, "now": NOW, "first_attempt_at": NOW, "deadline_at": None, "salt": b"id", **more}
    return resiliency.judge(failure, **given_more)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("250ms", 0.25), ("5m", 300), ("1h30m", 5400), ("0.5s", 0.5), ("1h0m1s", 3601), ("0s", 0)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "5 s", "5d", "1m1", "1.s", "∞", "5S"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(PolicyError, match="is not a duration"):
        parse_duration(text)


@given(st.integers(0, 10**9))
def test_durations_are_written_as_they_are_read(milliseconds: int) -> None:
    assert round(parse_duration(format_duration(milliseconds / 1000)) * 1000) == milliseconds


@pytest.mark.parametrize(
    ("backoff", "delays"),
    [("constant", [2, 2, 2, 2]), ("linear", [2, 4, 6, 7]), ("exponential", [2, 4, 7, 7])],
)
def test_backoff_grows_to_its_cap(backoff: Any, delays: list[float]) -> None:
    policy = Policy(backoff=backoff, initial_delay=2, max_interval=7, jitter=False)
    assert [policy.delay(attempt, salt=b"") for attempt in (1, 2, 3, 4)] == delays


@given(
    st.sampled_from(["constant", "linear", "exponential"]),
    st.floats(0, 1000),
    st.floats(0.001, 1000),
    st.integers(1, 10_000),
    st.binary(max_size=40),
)
def test_jitter_never_passes_the_cap(backoff: Any, first: float, cap: float, attempt: int, salt: bytes) -> None:
    policy = Policy(backoff=backoff, initial_delay=first, max_interval=cap)
    assert 0 <= policy.delay(attempt, salt=salt) <= cap


def test_jitter_spreads_and_repeats() -> None:
    policy = Policy(initial_delay=10, max_interval=1000)
    delays = [policy.delay(1, salt=b"%d" % number) for number in range(1000)]
    assert delays == [policy.delay(1, salt=b"%d" % number) for number in range(1000)]
    assert 5 <= min(delays) < 5.5
    assert 14.5 < max(delays) <= 15
    assert abs(sum(delays) / 1000 - 10) < 0.5


@pytest.mark.parametrize(
    ("wanted", "failure", "matches"),
    [
        ("ValueError", Failure(type="ValueError"), True),
        ("Exception", Failure(type="ValueError", mro=("Exception",)), True),
        ("ReadTimeout", Failure(type="httpx.ReadTimeout"), True),
        ("httpx.ReadTimeout", Failure(type="httpx.ReadTimeout"), True),
        ("other.ReadTimeout", Failure(type="httpx.ReadTimeout"), False),
        ("httpx", Failure(type="httpx.ReadTimeout"), False),
        ("httpx.TransportError", Failure(type="x.Y", mro=("httpx.TransportError", "Exception")), True),
        ("Timeout", Failure(type="httpx.ReadTimeout"), False),
    ],
)
def test_a_rule_matches_by_name(wanted: str, failure: Failure, matches: bool) -> None:
    assert Rule(errors=(wanted,), policy="p").matches(failure) is matches


def test_the_first_rule_wins_then_default_then_one_attempt() -> None:
    policies = {"default": Policy(max_attempts=2), "often": Policy(max_attempts=9)}
    rules = (Rule(errors=("KeyError",), policy="often"), Rule(errors=("Exception",), policy="default"))
    both = Resiliency(policies=policies, rules=rules)
    assert both.policy_for(Failure(type="KeyError", mro=("LookupError", "Exception"))).max_attempts == 9
    assert both.policy_for(Failure(type="ValueError", mro=("Exception",))).max_attempts == 2
    assert Resiliency(policies=policies).policy_for(Failure(type="X")).max_attempts == 2
    assert Resiliency().policy_for(Failure(type="X")).max_attempts == 1
    assert Resiliency().policy_for(Failure(type="RuntimeCrashed")).max_attempts == 3


@pytest.mark.parametrize("kind", ["ResultNotSerializable", "InvalidRoute"])
def test_what_cannot_get_better_is_not_tried_again_by_default(kind: str) -> None:
    default = Resiliency(policies={"default": Policy(max_attempts=5, on_exhausted=("plan-b",))})
    assert judge(default, Failure(type=kind)) == Exhausted(route=("plan-b",), max_attempts=1)
    named = Resiliency(policies={"p": Policy(max_attempts=5)}, rules=(Rule(errors=(kind,), policy="p"),))
    assert isinstance(judge(named, Failure(type=kind)), Retry)


def test_non_retryable_classes_and_the_handlers_own_word_beat_every_rule() -> None:
    every = Resiliency(
        policies={"p": Policy(max_attempts=5)},
        rules=(Rule(errors=("Exception",), policy="p"),),
        non_retryable=("PermissionError",),
    )
    assert isinstance(judge(every, Failure(type="PermissionError", mro=("OSError", "Exception"))), Exhausted)
    assert isinstance(judge(every, Failure(type="X", mro=("Exception",), retryable=False)), Exhausted)
    assert isinstance(judge(every, Failure(type="X", mro=("Exception",))), Retry)


def test_retry_after_replaces_the_delay() -> None:
    some = Resiliency(policies={"default": Policy(max_attempts=5, max_interval=2)})
    verdict = judge(some, Failure(type="X", retry_after=42.0))
    assert verdict == Retry(delay=42.0, max_attempts=5)
    assert judge(some, Failure(type="X", retry_after=-1.0)).delay == 0


@pytest.mark.parametrize("hint", [LONGEST_DELAY + 1, 1e300, float("inf"), float("nan")])
def test_a_delay_that_nobody_waits_for_is_too_late(hint: float) -> None:
    some = Resiliency(policies={"default": Policy(max_attempts=5)})
    assert judge(some, Failure(type="X", retry_after=LONGEST_DELAY)) == Retry(delay=LONGEST_DELAY, max_attempts=5)
    assert judge(some, Failure(type="X", retry_after=hint)) == TooLate(reason="PolicyExhausted", max_attempts=5)
    slow = Resiliency(policies={"default": Policy(max_attempts=5, initial_delay=hint, max_interval=hint, jitter=False)})
    assert judge(slow, Failure(type="X")) == TooLate(reason="PolicyExhausted", max_attempts=5)


def test_a_retry_after_the_deadline_is_none() -> None:
    some = Resiliency(policies={"default": Policy(max_attempts=5, initial_delay=10, jitter=False)})
    assert isinstance(judge(some, Failure(type="X"), deadline_at=NOW + 10.1), Retry)
    assert judge(some, Failure(type="X"), deadline_at=NOW + 10) == TooLate(reason="Timeout", max_attempts=5)


def test_max_duration_ends_the_attempts() -> None:
    some = Resiliency(policies={"default": Policy(max_attempts=5, initial_delay=10, jitter=False, max_duration=60)})
    assert isinstance(judge(some, Failure(type="X"), first_attempt_at=NOW - 49), Retry)
    assert judge(some, Failure(type="X"), first_attempt_at=NOW - 50) == TooLate(
        reason="PolicyExhausted", max_attempts=5
    )


def test_policies_and_rules_survive_their_text() -> None:
    policies = {
        "default": Policy(),
        "own": Policy(
            max_attempts=7, backoff="linear", initial_delay=0.25, max_interval=9, max_duration=3600, jitter=False,
            on_exhausted=("a", "b"),
        ),
    }  # fmt: skip
    rules = (Rule(errors=("A", "b.C"), policy="own"),)
    assert policies_from_json(policies_to_json(policies)) == policies
    assert rules_from_json(rules_to_json(rules)) == rules


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"a": 1}', '{"a": {"maxAttempt": 1}}', '{"a": {"maxAttempts": 0}}', '{"a": {"initialDelay": "1"}}'],
)
def test_wrong_policy_text_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        policies_from_json(text)
