"""What is counted when a hop is over."""

from __future__ import annotations

import math
import time

import msgspec
import pytest
from tests.unit.sidecar.metrics.passing import ACTOR, failed, passed, stamp

from asya.errors import NoDestinationError, TooLargeError
from asya.policy import Policy, Resiliency
from asya.transports import Outgoing
from asya.wire import Route, Status
from asya_sidecar.decide import Actor, Away, Canceled, Ended
from asya_sidecar.metrics import definitions as known
from asya_sidecar.metrics.numbers import Histogram
from asya_sidecar.metrics.recorder import MOST_DESTINATIONS, Recorder
from asya_sidecar.metrics.series import series

RETRYING = Actor(
    name="embed", resiliency=Resiliency(policies={"default": Policy(max_attempts=3, initial_delay=2.0, jitter=False)})
)


def read(recorder: Recorder, actor: Actor = ACTOR) -> dict[tuple[str, ...], float | Histogram]:
    found = {}
    for metric, labels, number in series(recorder.tally, actor, "sqlite", lambda name: f"asya_test_{name}"):
        assert len(labels) == len(metric.labels)
        for name, value in zip(metric.labels, labels, strict=True):
            assert value in metric.values.get(name, (value,)), "a value that its definition does not name"
        key = (metric.name.removeprefix(known.PREFIX), *labels)
        assert key not in found, "a series twice"
        found[key] = number
    return found


def nonzero(recorder: Recorder, metric: str, actor: Actor = ACTOR) -> dict[tuple[str, ...], float | Histogram]:
    return {key[1:]: number for key, number in read(recorder, actor).items() if key[0] == metric and number}


def observed(recorder: Recorder, *key: str) -> tuple[int, float]:
    number = read(recorder)[key]
    assert isinstance(number, Histogram)
    return sum(number.counts), number.total


def test_a_result_counts_once_everywhere() -> None:
    recorder = Recorder(ACTOR)
    hop = passed()
    recorder.passed(hop)
    queue = "asya_test_embed"
    assert nonzero(recorder, "messages_processed_total") == {(queue, "success"): 1}
    assert nonzero(recorder, "messages_failed_total") == {}
    assert nonzero(recorder, "messages_sent_total") == {("asya_test_store", "routing"): 1}
    assert observed(recorder, "processing_duration_seconds", queue) == (1, pytest.approx(0.010))
    assert observed(recorder, "runtime_execution_duration_seconds", queue) == (1, pytest.approx(0.005))
    assert observed(recorder, "queue_receive_duration_seconds", queue, "sqlite") == (1, pytest.approx(0.001))
    assert observed(recorder, "queue_send_duration_seconds", "asya_test_store", "sqlite") == (1, pytest.approx(0.002))
    assert observed(recorder, "queue_wait_seconds", queue) == (1, pytest.approx(0.499, abs=0.01))
    assert observed(recorder, "message_size_bytes", "received") == (1, len(hop.delivery.body))
    assert observed(recorder, "message_size_bytes", "sent") == (1, len(hop.messages[0].body))


def test_a_retry_is_no_failure_and_has_its_delay() -> None:
    recorder = Recorder(RETRYING)
    recorder.passed(passed(failed("call-timeout", "CallTimeout"), actor=RETRYING))
    queue = "asya_test_embed"
    assert nonzero(recorder, "messages_processed_total") == {(queue, "retried"): 1}
    assert nonzero(recorder, "messages_failed_total") == {}
    assert nonzero(recorder, "runtime_errors_total") == {(queue, "timeout"): 1}
    assert nonzero(recorder, "retries_total") == {(queue, "timeout"): 1}
    assert nonzero(recorder, "messages_sent_total") == {(queue, "retry"): 1}
    assert observed(recorder, "retry_delay_seconds", queue) == (1, 2.0)


def test_giving_up_is_a_failure_and_no_retry() -> None:
    recorder = Recorder(ACTOR)
    recorder.passed(passed(failed()))
    queue = "asya_test_embed"
    assert nonzero(recorder, "messages_processed_total") == {(queue, "error"): 1}
    assert nonzero(recorder, "messages_failed_total") == {(queue, "policy_exhausted"): 1}
    assert nonzero(recorder, "messages_sent_total") == {("asya_test_x-sink", "sink"): 1}
    assert nonzero(recorder, "retries_total") == {}


def test_a_retry_that_would_come_after_the_deadline_is_a_timeout() -> None:
    recorder = Recorder(RETRYING)
    now = time.time()
    status = Status(created_at=stamp(now), updated_at=stamp(now), deadline_at=stamp(now + 1))
    recorder.passed(passed(failed(), actor=RETRYING, status=status))
    queue = "asya_test_embed"
    assert nonzero(recorder, "messages_processed_total") == {(queue, "sla_expired"): 1}
    assert nonzero(recorder, "messages_failed_total") == {(queue, "sla_timeout"): 1}


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Ended(), "empty_response"), (Canceled(), "canceled")],
    ids=["nothing", "canceled"],
)
def test_other_ends(outcome: Ended | Canceled, status: str) -> None:
    recorder = Recorder(ACTOR)
    recorder.passed(passed(outcome))
    assert nonzero(recorder, "messages_processed_total") == {("asya_test_embed", status): 1}


def test_what_was_given_back_is_not_processed() -> None:
    recorder = Recorder(ACTOR)
    hop = passed(Away())
    recorder.released(hop)
    recorder.passed(hop)
    prefetched, from_the_gate = passed(), passed()
    for uncalled in (prefetched, from_the_gate):
        uncalled.decision, uncalled.called = None, 0.0
        recorder.released(uncalled)
    assert nonzero(recorder, "messages_processed_total") == {}
    assert nonzero(recorder, "messages_released_total") == {
        ("asya_test_embed", "runtime_away"): 1,
        ("asya_test_embed", "unstarted"): 2,
    }


NO_QUEUE = NoDestinationError(actor="store", queue="asya_test_store")
TOO_LARGE = TooLargeError(actor="store", size=2, limit=1)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(NO_QUEUE, "routing_error"), (TOO_LARGE, "too_large")],
    ids=["no-destination", "too-large"],
)
def test_what_ended_in_the_sump_instead_is_a_failure(error: Exception, reason: str) -> None:
    recorder = Recorder(ACTOR)
    hop = passed()
    hop.parked = True
    recorder.parked(hop, error)
    hop.messages = [Outgoing("x-sump", b"{}")]
    recorder.passed(hop)
    queue = "asya_test_embed"
    assert nonzero(recorder, "messages_processed_total") == {(queue, "error"): 1}
    assert nonzero(recorder, "messages_failed_total") == {(queue, reason): 1}
    assert nonzero(recorder, "messages_sent_total") == {("asya_test_x-sump", "sump"): 1}


def test_what_waited_and_arrived_is_a_success() -> None:
    recorder = Recorder(ACTOR)
    hop = passed()
    hop.parked = True
    recorder.parked(hop, NO_QUEUE)
    recorder.passed(hop)
    assert nonzero(recorder, "messages_processed_total") == {("asya_test_embed", "success"): 1}


def test_a_task_is_measured_where_it_ends() -> None:
    sink = Actor(name="x-sink")
    recorder = Recorder(sink)
    now = time.time()
    status = Status(phase="succeeded", created_at=stamp(now - 30), updated_at=stamp(now))
    route = Route(curr="x-sink", prev=["a", "b"])
    recorder.passed(passed(Ended(), actor=sink, status=status, route=route, headers={"x-asya-hop": msgspec.Raw(b"2")}))
    count, total = observed_at(recorder, sink, "end_to_end_duration_seconds", "succeeded")
    assert (count, total) == (1, pytest.approx(30, abs=0.5))
    assert observed_at(recorder, sink, "task_hops", "succeeded") == (1, 2.0)


def observed_at(recorder: Recorder, actor: Actor, *key: str) -> tuple[int, float]:
    number = read(recorder, actor)[key]
    assert isinstance(number, Histogram)
    return sum(number.counts), number.total


def test_rare_events() -> None:
    recorder = Recorder(ACTOR)
    recorder.lease_extended()
    recorder.lease_lost()
    recorder.reconnected()
    recorder.circuit("embed", "closed")
    for state in ("open", "half-open", "open"):
        recorder.circuit("store", state)
    recorder.limited(0.25, "embed")
    recorder.limited(0.5, "embed")
    recorder.published(Outgoing("store", b"12345"))
    hop = passed(attempts=2)
    recorder.passed(hop)
    hop.decision = None
    recorder.passed(hop)
    found = read(recorder)
    queue = "asya_test_embed"
    assert found["lease_extensions_total", queue] == 1
    assert found["leases_lost_total", queue] == 1
    assert (found["circuit_state", "embed"], found["circuit_opened_total", "embed"]) == (0, 0)
    assert (found["circuit_state", "store"], found["circuit_opened_total", "store"]) == (2, 2)
    assert found["rate_limited_seconds_total", "embed"] == 0.75
    assert found["reconnects_total", "sqlite"] == 1
    assert found["messages_redelivered_total", queue] == 1
    assert found["messages_sent_total", "asya_test_store", "routing"] == 2
    assert found["messages_failed_total", queue, "internal_error"] == 1


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-21T06:00:00", "2026-11-21T06:00:00.xyzZ", "\udc80" * 24])
def test_a_stamp_that_is_none_is_left_out(text: str) -> None:
    recorder = Recorder(ACTOR)
    hop = passed()
    assert hop.envelope.status is not None
    hop.envelope.status.updated_at = text
    recorder.passed(hop)
    assert observed(recorder, "queue_wait_seconds", "asya_test_embed") == (0, 0.0)


def test_stamps_of_one_second_are_told_apart() -> None:
    recorder = Recorder(ACTOR)
    total = 0.0
    for thousandth in range(3):
        hop = passed()
        assert hop.envelope.status is not None
        hop.began_at = 1_800_000_001.0
        hop.envelope.status.updated_at = stamp(1_800_000_000.5 + thousandth / 1000)
        recorder.passed(hop)
        total += 0.499 - thousandth / 1000
    assert observed(recorder, "queue_wait_seconds", "asya_test_embed") == (3, pytest.approx(total, abs=0.002))


def test_clocks_that_differ_count_as_no_wait() -> None:
    recorder = Recorder(ACTOR)
    recorder.passed(passed(age=-60))
    assert observed(recorder, "queue_wait_seconds", "asya_test_embed") == (1, 0.0)


def test_destinations_are_bounded() -> None:
    recorder = Recorder(ACTOR)
    for number in range(MOST_DESTINATIONS + 5):
        hop = passed()
        hop.messages = [Outgoing(f"actor-{number}", b"{}")]
        recorder.passed(hop)
    sent = nonzero(recorder, "messages_sent_total")
    assert len(sent) == MOST_DESTINATIONS + 1
    assert sent["other", "routing"] == 5


@pytest.mark.parametrize(("value", "bucket"), [(0.0, 0), (1.0, 0), (1.5, 1), (2.0, 1), (2.1, 2), (math.inf, 2)])
def test_a_bound_belongs_to_its_bucket(value: float, bucket: int) -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.observe(value)
    assert histogram.counts.index(1) == bucket
