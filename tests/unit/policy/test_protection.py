"""Token bucket and circuit breaker under any history, and their text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asya.errors import PolicyError
from asya.policy import CircuitBreaker, Failure, Protection, RateLimit, Resiliency
from asya.policy.breaker import JITTER, Breaker, Ticket
from asya.policy.bucket import TokenBucket
from asya.policy.protection import format_rate, parse_rate
from asya.policy.protection_text import (
    destinations_from_json,
    destinations_to_json,
    protection_from_json,
    protection_to_json,
)

RATES = st.floats(min_value=1e-4, max_value=1e6)
STEPS = st.lists(st.floats(min_value=0, max_value=1e4), max_size=200)


# -- rates


@pytest.mark.parametrize(
    ("text", "per_second"), [("10/s", 10), ("90/m", 1.5), ("1/h", 1 / 3600), ("0.5/s", 0.5), ("2.50/m", 2.5 / 60)]
)
def test_rates_are_read(text: str, per_second: float) -> None:
    assert parse_rate(text) == pytest.approx(per_second)


@pytest.mark.parametrize(
    "text", ["", "10", "10/", "/s", "10/d", "-1/s", "1e3/s", "10 /s", "0/s", "0.0/m", "9" * 400 + "/s"]
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(PolicyError, match="is not a rate"):
        parse_rate(text)


@given(RATES | st.integers(1, 10**6).map(float) | st.integers(1, 10**6).map(lambda n: n / 3600))
def test_rates_are_written_as_they_are_read(rate: float) -> None:
    assert parse_rate(format_rate(rate)) == rate


def test_written_rates_are_what_people_write() -> None:
    assert [format_rate(parse_rate(text)) for text in ("10/s", "90/m", "500/h")] == ["10/s", "90/m", "500/h"]


@given(RATES, st.integers(1, 1000), st.integers(1, 100))
def test_replicas_together_keep_to_the_rate(rate: float, burst: int, replicas: int) -> None:
    part = RateLimit(rate=rate, burst=burst).shared(replicas)
    assert part.rate * replicas == pytest.approx(rate)
    assert part.burst == 1 or part.burst * replicas <= burst


# -- bucket


@given(RATES, st.integers(1, 20), st.lists(st.floats(min_value=0, max_value=1e4), max_size=60))
def test_never_more_than_the_burst_and_the_rate_in_any_stretch_of_time(
    rate: float, burst: int, steps: list[float]
) -> None:
    now, bucket, taken = 0.0, TokenBucket(RateLimit(rate=rate, burst=burst), 0.0), []
    for step in steps:
        now += step / rate
        taken += [now] * sum(bucket.take(now) for _ in range(burst + 2))
    for first, begin in enumerate(taken):
        for last in range(first, len(taken)):
            count, stretch = last - first + 1, taken[last] - begin
            assert count <= burst + rate * (stretch + 2e-6) + 1e-6


@given(RATES, st.integers(1, 100), STEPS)
def test_whoever_waits_until_it_says_gets_a_token(rate: float, burst: int, steps: list[float]) -> None:
    now, bucket = 1e6, TokenBucket(RateLimit(rate=rate, burst=burst), 1e6)
    for step in steps:
        now += step / rate
        if not bucket.take(now):
            assert bucket.next_at > now
            now = bucket.next_at
            assert bucket.take(now)


def test_a_new_bucket_has_one_token_and_saves_up_to_the_burst() -> None:
    bucket = TokenBucket(RateLimit(rate=2.0, burst=3), 10.0)
    assert [bucket.take(10.0), bucket.take(10.0)] == [True, False]
    assert bucket.next_at == 10.5
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]


# -- the breaker itself

LIMITS = CircuitBreaker(failures=3, window=10.0, open_for=5.0, max_open_for=40.0, probes=2)


def breaker(limits: CircuitBreaker = LIMITS, chance: float = 0.0) -> Breaker:
    return Breaker(limits, lambda: chance)


def attempt(circuit: Breaker, now: float, *, failed: bool | None) -> None:
    ticket = circuit.begin(now)
    assert ticket is not None
    circuit.end(ticket, now, failed=failed)


def opened(limits: CircuitBreaker = LIMITS, chance: float = 0.0) -> Breaker:
    circuit = breaker(limits, chance)
    for _ in range(limits.failures):
        attempt(circuit, 0.0, failed=True)
    assert circuit.state == "open"
    return circuit


def test_failures_in_a_row_open_it() -> None:
    circuit = breaker()
    for failed in (True, True, False, True, True):
        attempt(circuit, 1.0, failed=failed)
        assert circuit.state == "closed"
    attempt(circuit, 1.0, failed=True)
    assert (circuit.state, circuit.opened, circuit.reopens_at) == ("open", 1, 6.0)
    assert circuit.begin(5.999) is None


def test_failures_further_apart_than_the_window_do_not() -> None:
    circuit = breaker()
    for now in (0.0, 5.0, 10.1, 20.2):
        attempt(circuit, now, failed=True)
    assert circuit.state == "closed"


def test_what_says_nothing_neither_counts_nor_breaks_the_row() -> None:
    circuit = breaker()
    for failed in (True, None, True, None):
        attempt(circuit, 0.0, failed=failed)
    attempt(circuit, 0.0, failed=True)
    assert circuit.state == "open"


def test_a_ratio_opens_it_once_enough_have_ended() -> None:
    limits = CircuitBreaker(failures=1000, failure_ratio=0.5, min_calls=10, window=10.0)
    circuit = breaker(limits)
    for index in range(9):
        attempt(circuit, 0.0, failed=index % 2 == 0)
    assert circuit.state == "closed"
    attempt(circuit, 0.0, failed=True)
    assert circuit.state == "open"


def test_the_ratio_forgets_what_is_older_than_the_window() -> None:
    circuit = breaker(CircuitBreaker(failures=1000, failure_ratio=0.5, min_calls=10, window=10.0))
    for _ in range(9):
        attempt(circuit, 0.0, failed=True)
    for index in range(9):
        attempt(circuit, 10.5, failed=index == 8)
    assert circuit.state == "closed"


def test_half_open_takes_exactly_the_probes_and_closes_when_all_succeed() -> None:
    circuit = opened()
    first, second = circuit.begin(5.0), circuit.begin(5.0)
    assert first is not None
    assert second is not None
    assert (circuit.state, circuit.begin(5.0), circuit.permits) == ("half-open", None, 0)
    circuit.end(first, 6.0, failed=False)
    assert (circuit.state, circuit.begin(6.0)) == ("half-open", None)
    circuit.end(second, 6.0, failed=False)
    assert (circuit.state, circuit.permits) == ("closed", None)


def test_a_probe_that_says_nothing_makes_room_for_another() -> None:
    circuit = opened()
    attempt(circuit, 5.0, failed=None)
    assert (circuit.state, circuit.permits) == ("half-open", 2)


def test_a_failed_probe_opens_it_for_twice_as_long_up_to_the_cap() -> None:
    circuit, lasted = opened(), []
    for _ in range(6):
        now = circuit.reopens_at
        attempt(circuit, now, failed=True)
        assert circuit.state == "open"
        lasted.append(circuit.reopens_at - now)
    assert lasted == [10.0, 20.0, 40.0, 40.0, 40.0, 40.0]


def test_opening_soon_after_closing_counts_as_opening_again_and_later_not() -> None:
    def close_and_open(circuit: Breaker, pause: float) -> float:
        now = circuit.reopens_at
        for _ in range(2):
            attempt(circuit, now, failed=False)
        now += pause
        for _ in range(3):
            attempt(circuit, now, failed=True)
        return circuit.reopens_at - now

    circuit = opened()
    assert close_and_open(circuit, 4.9) == pytest.approx(10.0)
    assert close_and_open(circuit, 10.1) == pytest.approx(5.0)


def test_the_end_of_an_earlier_attempt_is_not_taken_for_a_probe() -> None:
    circuit = breaker()
    late = circuit.begin(0.0)
    assert late is not None
    for _ in range(3):
        attempt(circuit, 0.0, failed=True)
    assert not circuit.stands(late)
    circuit.tick(5.0)
    circuit.end(late, 5.0, failed=True)
    assert (circuit.state, circuit.permits) == ("half-open", 2)


@given(
    st.lists(
        st.tuples(st.floats(0, 60), st.sampled_from(["begin", "ok", "fail", "nothing"]), st.integers(0, 10)),
        max_size=300,
    ),
    st.integers(1, 5),
    st.floats(0, 1),
)
def test_any_history_keeps_the_promises(history: list[tuple[float, str, int]], probes: int, chance: float) -> None:
    limits = CircuitBreaker(failures=3, failure_ratio=0.4, min_calls=4, window=20.0, open_for=5.0, max_open_for=30.0,
                            probes=probes)  # fmt: skip
    circuit, now = Breaker(limits, lambda: chance), 0.0
    running: list[tuple[Ticket, str]] = []
    for step, action, which in history:
        now += step
        before = circuit.state
        if action == "begin":
            ticket = circuit.begin(now)
            assert (ticket is None) == (circuit.permits is not None and ticket is None)
            if before == "open" and now < circuit.reopens_at:
                assert ticket is None, "an open circuit lets nothing through"
            if ticket is not None:
                running.append((ticket, circuit.state))
        elif running:
            ticket, _ = running.pop(which % len(running))
            circuit.end(ticket, now, failed={"ok": False, "fail": True, "nothing": None}[action])
            if circuit.state == "open" and before != "open":
                lasts = circuit.reopens_at - now
                assert limits.open_for * (1 - JITTER) - 1e-6 <= lasts <= limits.max_open_for + 1e-6
        if circuit.state == "half-open":
            probing = [ticket for ticket, state in running if state == "half-open" and circuit.stands(ticket)]
            assert len(probing) <= probes
            assert circuit.permits is not None
            assert 0 <= circuit.permits <= probes - len(probing)
    # However it went: with successes alone it closes.
    now = max(now, circuit.reopens_at)
    for ticket, _ in running:
        circuit.end(ticket, now, failed=None)
    circuit.tick(now)
    for _ in range(probes):
        if circuit.state != "closed":
            attempt(circuit, now, failed=False)
    assert circuit.state == "closed"


# -- which failures count


def test_named_errors_count_and_no_others() -> None:
    resiliency = Resiliency(protection=Protection(circuit_breaker=CircuitBreaker(errors=("OSError",))))
    assert resiliency.trips(Failure(type="httpx.ConnectError", mro=("OSError", "Exception")))
    assert not resiliency.trips(Failure(type="ValueError", mro=("Exception",)))


def test_without_names_all_count_but_the_messages_own_fault() -> None:
    resiliency = Resiliency(protection=Protection(circuit_breaker=CircuitBreaker()), non_retryable=("ValueError",))
    assert resiliency.trips(Failure(type="CallTimeout"))
    assert resiliency.trips(Failure(type="RuntimeCrashed"))
    for failure in (Failure(type="ValueError"), Failure(type="x.Gone", retryable=False), Failure(type="InvalidRoute"),
                    Failure(type="ResultNotSerializable")):  # fmt: skip
        assert not resiliency.trips(failure)


# -- text

BREAKERS = st.builds(
    CircuitBreaker,
    failures=st.integers(1, 9),
    failure_ratio=st.none() | st.floats(0.01, 1),
    min_calls=st.integers(1, 99),
    window=st.integers(1, 10**4).map(float),
    open_for=st.integers(1, 100).map(float),
    max_open_for=st.integers(100, 10**4).map(float),
    probes=st.integers(1, 9),
    errors=st.lists(st.sampled_from(["A", "b.C"])).map(tuple),
)
PROTECTIONS = st.builds(
    Protection,
    rate_limit=st.none() | st.builds(RateLimit, rate=RATES, burst=st.integers(1, 99)),
    circuit_breaker=st.none() | BREAKERS,
)


@given(PROTECTIONS)
def test_protection_is_read_as_it_was_written(protection: Protection) -> None:
    assert protection_from_json(protection_to_json(protection)) == protection


@given(st.dictionaries(st.sampled_from(["a", "b"]), PROTECTIONS))
def test_destinations_are_read_as_they_were_written(destinations: dict[str, Protection]) -> None:
    assert destinations_from_json(destinations_to_json(destinations)) == destinations


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "Expected `object`"),
        ('{"rateLimit": {"rate": "fast"}}', "'fast' is not a rate"),
        ('{"rateLimit": {"rate": "1/s", "burst": 0}}', "burst of it is 0"),
        ('{"circuitBreaker": {"failures": 0}}', "failures of it is 0, expected at least 1"),
        ('{"circuitBreaker": {"probes": 0}}', "probes of it is 0"),
        ('{"circuitBreaker": {"minCalls": 0}}', "minCalls of it is 0"),
        ('{"circuitBreaker": {"window": "0s"}}', "window of it is 0"),
        ('{"circuitBreaker": {"openFor": "0s"}}', "openFor of it is 0"),
        ('{"circuitBreaker": {"openFor": "10m"}}', "maxOpenFor of it is 300, expected at least 600"),
        ('{"circuitBreaker": {"failureRatio": 0}}', "failureRatio of it is 0"),
        ('{"circuitBreaker": {"failureRatio": 1.5}}', "failureRatio of it is 1.5"),
        ('{"circuitBreaker": {"opened": "1s"}}', "unknown field `opened`"),
    ],
)
def test_text_that_cannot_be_meant_is_refused(text: str, words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        protection_from_json(text)
    if text != "[]":
        with pytest.raises(PolicyError):
            destinations_from_json('{"b": ' + text + "}")
