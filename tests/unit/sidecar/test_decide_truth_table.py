"""Every row of the truth table, against the pure core.

The expectation is read from the row itself (`to`, `settle`, `phase`, `reason`); a case only says how it comes about.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from asya.errors import NoDestinationError, TooLargeError
from asya.policy import Failure, Policy, Resiliency
from asya.transports import Settle
from asya.wire import Envelope, Raw, decode, encode, format_time, headers, new_envelope, raw
from asya_sidecar.decide import (
    KEEP,
    Actor,
    Away,
    Canceled,
    Decision,
    Ended,
    Failed,
    Result,
    Send,
    after_call,
    before_call,
    child_send,
    receive,
    undeliverable,
)

NOW = 1_800_000_000.0
TABLE = yaml.safe_load((Path(__file__).parents[2] / "truth-table.yaml").read_text())
ROWS: dict[str, dict[str, Any]] = {
    row["id"]: row for group in TABLE.values() if isinstance(group, list) for row in group if isinstance(row, dict)
}
RETRY = Resiliency(policies={"default": Policy(max_attempts=3, initial_delay=1.0, jitter=False)})
ONCE = Resiliency()
ME = Actor(name="me", resiliency=RETRY)
BOOM = Failure(type="ValueError", message="boom", mro=("Exception",), traceback="Traceback …")


@dataclass
class Case:
    """What went in, and what was decided."""

    given: Envelope
    decision: Decision
    actor: Actor = ME


def envelope(*route: str, **changes: Any) -> Envelope:
    made = new_envelope(
        list(route or ("me", "b", "c")),
        raw({"n": 1}),
        now=NOW - 10,
        envelope_id="root",
        headers={"traceparent": raw("00-" + "a" * 32 + "-" + "b" * 16 + "-01"), "mine": raw([1.5, "x"])},
        deadline_at=NOW + 3600,
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return decode(encode(made))


def result(payload: Any = None, **changes: Any) -> Result:
    return Result(json.dumps(changes).encode() if changes else b"", json.dumps(payload or {"n": 2}).encode())


def received(body: bytes, actor: Actor = ME) -> Case:
    given, decision = receive(body, actor, NOW)
    assert decision is not None
    return Case(given, decision, actor)


def before(given: Envelope, actor: Actor = ME, preflight: Any = None) -> Case:
    decision = before_call(given, actor, NOW, preflight)
    assert decision is not None
    return Case(given, decision, actor)


def after(outcome: Any, given: Envelope | None = None, actor: Actor = ME) -> Case:
    given = given or envelope()
    return Case(given, after_call(given, outcome, actor, NOW), actor)


def retried(given: Envelope, actor: Actor, times: int, failure: Failure = BOOM, cause: str = "handler-error") -> Case:
    """Fail `times` times in a row, each retry read back from its bytes."""
    for _ in range(times - 1):
        decision = after_call(given, Failed(failure=failure, cause=cause), actor, NOW)
        assert decision.row == "handler-error"
        given = decode(encode(decision.sends[0].envelope))
    return Case(given, after_call(given, Failed(failure=failure, cause=cause), actor, NOW), actor)


def hooked() -> Case:
    sink = Actor(name="x-sink", resiliency=RETRY)
    return after(Ended(result(next=["hook", "x-sink"]), 1), envelope("x-sink"), sink)


CASES: dict[str, Callable[[], Case]] = {
    "unparsable": lambda: received(b'{"id": "a", "route": \xff}'),
    "no-id": lambda: received(b'{"id": "", "route": {"curr": "me", "next": ["b"]}, "payload": {"n": 1}}'),
    "wrong-actor": lambda: before(envelope("other", "b")),
    "hop-limit": lambda: before(envelope(headers={headers.HOP: raw(1001)})),
    "canceled": lambda: before(envelope(), preflight="canceled"),
    "paused": lambda: before(envelope(), preflight="paused"),
    "deadline-over": lambda: before(new_envelope(["me", "b"], raw(1), now=NOW - 9, deadline_at=NOW - 1)),
    "runtime-away": lambda: after(Away("import failed")),
    "result": lambda: after(Ended(result(), 1)),
    "end-of-route": lambda: after(Ended(result(), 1), envelope("me")),
    "nothing": lambda: after(Ended(None, 0)),
    "fan-out": lambda: after(Ended(result(), 3)),
    "stream-failed": lambda: after(Failed(failure=BOOM, published=2)),
    "pause-asked": lambda: after(Ended(result(headers={"x-asya-pause": {"prompt": "ok?"}}), 1)),
    "invalid-route": lambda: after(Ended(result(next=["x-sink"]), 1)),
    "handler-error": lambda: after(Failed(failure=BOOM)),
    "retry-too-late": lambda: after(Failed(failure=BOOM), new_envelope(["me"], raw(1), now=NOW, deadline_at=NOW + 0.5)),
    "exhausted-route": lambda: after(
        Failed(failure=BOOM),
        actor=Actor(
            name="me", resiliency=Resiliency(policies={"default": Policy(max_attempts=1, on_exhausted=("r1", "r2"))})
        ),
    ),
    "exhausted": lambda: retried(envelope(), ME, 3),
    "call-timeout": lambda: after(Failed(failure=Failure(type="CallTimeout"), cause="call-timeout")),
    "runtime-crashed": lambda: after(Failed(failure=Failure(type="RuntimeCrashed"), cause="runtime-crashed")),
    "unserialisable": lambda: after(Failed(failure=Failure(type="ResultNotSerializable"), cause="unserialisable")),
    "canceled-in-call": lambda: after(Canceled()),
    "too-large": lambda: undelivered(TooLargeError(actor="b", size=99, limit=10)),
    "no-destination": lambda: undelivered(NoDestinationError(actor="b", queue="asya_d_b")),
    "sink-away": lambda: undelivered(NoDestinationError(actor="x-sump", queue="asya_d_x-sump"), to="x-sump"),
    "sink-hooks-left": hooked,
    "sink-done": lambda: after(Ended(None, 0), envelope("x-sink"), Actor(name="x-sink")),
    "sink-failed": lambda: after(Failed(failure=BOOM), envelope("x-sink"), Actor(name="x-sink")),
    "sump-done": lambda: after(Ended(None, 0), envelope("x-sump"), Actor(name="x-sump")),
    "sump-failed": lambda: after(Failed(failure=BOOM), envelope("x-sump"), Actor(name="x-sump")),
}
# Rows whose effect is not a decision over one message; where they are shown instead.
ELSEWHERE = {
    "terminal-actor": "test_terminal_actors_skip_the_checks",
    "broker-refuses": "tests/unit/sidecar/test_carry.py",
    "sigterm": "tests/unit/sidecar/test_loop.py",
    "redelivered": "test_a_repeated_call_emits_the_same_ids",
    "delivery-limit": "tests/contract/transports/test_truth_table.py",
}


def undelivered(error: TooLargeError | NoDestinationError, to: str = "b") -> Case:
    given = envelope()
    outgoing = after_call(given, Ended(result({"big": 1}), 1), ME, NOW).sends[0].envelope
    return Case(given, undeliverable(given, Send(to, outgoing), error, ME, NOW))


def test_every_row_has_a_case() -> None:
    assert set(CASES) | set(ELSEWHERE) == set(ROWS)
    assert not set(CASES) & set(ELSEWHERE)


@pytest.mark.parametrize("row_id", CASES)
def test_row_goes_where_the_table_says(row_id: str) -> None:
    row, case = ROWS[row_id], CASES[row_id]()
    decision, to = case.decision, row["to"]
    if str(to).startswith("as for"):
        assert decision.row in ("handler-error", "exhausted", "exhausted-route")
        assert decision.cause == row_id or row_id == "stream-failed"
        return
    assert decision.row == row_id
    sent = [send.actor for send in decision.sends]
    expected = {
        "next": lambda: [case.given.route.next[0] if row_id != "sink-hooks-left" else "hook"],
        "self": lambda: [case.actor.name],
        "sink": lambda: ["x-sink"],
        "sump": lambda: ["x-sump"],
        "on-exhausted": lambda: ["r1"],
        "pause-actor": lambda: ["x-sink"],
        "nowhere": list,
        "broker-dlq": list,
    }[to]()
    assert sent == expected


@pytest.mark.parametrize("row_id", [row for row in CASES if "settle" in ROWS[row]])
def test_row_settles_as_the_table_says(row_id: str) -> None:
    row, decision = ROWS[row_id], CASES[row_id]().decision
    expected: Any = {"ack": Settle.ACK, "release": Settle.RELEASE, "keep": KEEP}[row["settle"]]
    if row["to"] == "broker-dlq":
        expected = Settle.DEAD_LETTER
    assert decision.settle == expected


@pytest.mark.parametrize("row_id", [row for row in CASES if "phase" in ROWS[row] and CASES[row]().decision.sends])
def test_row_states_phase_and_reason(row_id: str) -> None:
    row, status = ROWS[row_id], CASES[row_id]().decision.sends[0].envelope.status
    assert status is not None
    assert status.phase == row["phase"]
    if "reason" in row:
        assert status.reason in row["reason"].split(" | ")


@pytest.mark.parametrize("row_id", [row for row in CASES if row not in ("unparsable", "no-id")])
def test_headers_deadline_and_creation_survive(row_id: str) -> None:
    case = CASES[row_id]()
    for send in case.decision.sends:
        sent = decode(encode(send.envelope))
        for name in ("traceparent", "mine"):
            if name in case.given.headers:
                assert bytes(sent.headers[name]) == bytes(case.given.headers[name])
        assert sent.status is not None
        assert case.given.status is not None
        assert sent.status.created_at == case.given.status.created_at
        assert sent.status.deadline_at == case.given.status.deadline_at


@pytest.mark.parametrize(
    "row_id",
    [row for row in CASES if row not in ("unparsable", "result", "end-of-route", "fan-out", "no-destination", "no-id")],
)
def test_payload_is_unchanged_unless_said(row_id: str) -> None:
    case = CASES[row_id]()
    for send in case.decision.sends:
        assert bytes(send.envelope.payload) == bytes(case.given.payload)


def test_unparsable_keeps_the_bytes() -> None:
    sent = received(b"\xff\x00").decision.sends[0].envelope
    assert json.loads(bytes(sent.payload)) == {"original_base64": "/wA="}
    sent = received(b"not json").decision.sends[0].envelope
    assert json.loads(bytes(sent.payload)) == {"original": "not json"}
    assert sent.id
    assert receive(encode(sent), Actor(name="x-sump"), NOW)[1] is None, "what the sump gets can be read: it never loops"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"text"',
        b"{",
        b'{"id": "a"}',
        b'{"id": "a", "route": {"curr": 1}}',
        b'{"id": "a", "route": {"curr": "me"}, "payload": NaN}',
        b'{"id": "a", "route": {"curr": "me"}, "payload": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"id": "\\ud800", "route": {"curr": "me"}}',
        b'{"id": "a", "route": {"curr": "me"}, "status": {"deadline_at": "tomorrow"}}',
        b'{"id": "a", "route": {"curr": "me"}, "headers": {"x-asya-hop": -1}}',
        b'{"id": "a", "route": {"curr": "me"}, "headers": {"x-asya-hop": 99999999999999999999}}',
    ],
)
def test_bytes_that_are_no_envelope_go_to_the_sump(body: bytes) -> None:
    assert received(body).decision.row == "unparsable"


@pytest.mark.parametrize("body", [b'{"route": {"curr": "me"}}', b'{"id": "", "route": {"curr": "me"}, "later": 1}'])
def test_without_an_id_it_gets_one(body: bytes) -> None:
    case = received(body)
    assert case.decision.row == "no-id"
    assert case.decision.sends[0].envelope.id
    assert receive(body, ME, NOW)[0].id == case.given.id, "the same bytes get the same id"


def test_the_route_moves_on_and_the_hop_grows() -> None:
    sent = after(Ended(result(), 1)).decision.sends[0].envelope
    assert (sent.route.prev, sent.route.curr, sent.route.next) == (["me"], "b", ["c"])
    assert sent.hop == 1
    again = after_call(sent, Ended(result(), 1), Actor(name="b"), NOW).sends[0].envelope
    assert again.hop == 2


def test_the_handler_may_change_what_is_next() -> None:
    sent = after(Ended(result(next=["z", "c"]), 1)).decision.sends[0]
    assert sent.actor == "z"
    assert sent.envelope.route.next == ["c"]


@pytest.mark.parametrize("following", ["x", [1], ["x-sump"], ["Not A Name"], ["a"] * 1001, None, ["a" * 64]])
def test_a_route_that_is_none_is_a_failure(following: Any) -> None:
    case = after(Ended(result(next=following), 1))
    assert case.decision.cause == "invalid-route"
    assert case.decision.sends[0].envelope.status.error.type == "InvalidRoute"  # type: ignore[union-attr]
    assert case.decision.row == "exhausted", "the same handler makes the same route: not retried by default"


def test_a_retry_keeps_hop_and_first_attempt_and_counts() -> None:
    first = after(Failed(failure=BOOM)).decision.sends[0]
    assert first.delay == 1.0
    assert first.envelope.status is not None
    assert (first.envelope.status.attempt, first.envelope.status.max_attempts) == (2, 3)
    assert first.envelope.hop == 0
    second = after_call(first.envelope, Failed(failure=BOOM), ME, NOW + 5).sends[0]
    assert second.delay == 2.0
    assert bytes(second.envelope.headers[headers.FIRST_ATTEMPT]) == b'"' + format_time(NOW).encode() + b'"'
    assert second.envelope.route == envelope().route


def test_success_resets_attempt_error_and_first_attempt() -> None:
    again = after(Failed(failure=BOOM)).decision.sends[0].envelope
    sent = after_call(again, Ended(result(), 1), ME, NOW).sends[0].envelope
    assert sent.status is not None
    assert (sent.status.attempt, sent.status.error, sent.status.phase) == (1, None, "pending")
    assert headers.FIRST_ATTEMPT not in sent.headers


def test_attempts_of_another_actor_do_not_count_here() -> None:
    given = envelope()
    given.status.phase, given.status.actor, given.status.attempt = "retrying", "other", 99  # type: ignore[union-attr]
    assert after(Failed(failure=BOOM), given).decision.row == "handler-error"


def test_exhausted_says_what_went_wrong_and_where() -> None:
    sent = retried(envelope(), ME, 3).decision.sends[0].envelope
    assert sent.status is not None
    assert sent.status.error is not None
    assert (sent.status.error.type, sent.status.error.mro) == ("ValueError", ["Exception"])
    assert (sent.status.attempt, sent.status.max_attempts) == (3, 3)
    assert sent.route.prev == ["me"]
    assert sent.route.next == []


def test_a_stream_that_failed_says_how_much_was_published() -> None:
    case = after(Failed(failure=BOOM, published=2), actor=Actor(name="me"))
    assert case.decision.row == "exhausted"
    assert case.decision.sends[0].envelope.status.partial == 2  # type: ignore[union-attr]


def test_timeouts_of_the_call_give_their_reason() -> None:
    case = after(Failed(failure=Failure(type="CallTimeout"), cause="call-timeout"), actor=Actor(name="me"))
    assert case.decision.sends[0].envelope.status.reason == "Timeout"  # type: ignore[union-attr]


def test_max_duration_counts_from_the_first_attempt_at_this_actor() -> None:
    policy = Policy(max_attempts=99, initial_delay=1.0, max_duration=10.0, jitter=False, backoff="constant")
    actor = Actor(name="me", resiliency=Resiliency(policies={"default": policy}))
    again = after_call(envelope(), Failed(failure=BOOM), actor, NOW).sends[0].envelope
    late = after_call(again, Failed(failure=BOOM), actor, NOW + 9.5)
    assert late.row == "retry-too-late"
    assert late.sends[0].envelope.status.reason == "PolicyExhausted"  # type: ignore[union-attr]


def test_terminal_actors_skip_the_checks() -> None:
    for name in ("x-sink", "x-sump"):
        old = new_envelope(["elsewhere"], raw(1), now=NOW - 9, deadline_at=NOW - 1, headers={headers.HOP: raw(5000)})
        assert before_call(old, Actor(name=name), NOW, "canceled") is None


def test_hooks_of_the_sink_run_although_the_task_is_over() -> None:
    first = hooked().decision.sends[0].envelope
    assert first.route.prev[-1:] == ["x-sink"]
    assert before_call(first, Actor(name="hook"), NOW + 99_999, "canceled") is None
    back = after_call(first, Ended(result(), 1), Actor(name="hook"), NOW).sends[0]
    assert back.actor == "x-sink"
    assert back.envelope.status == first.status, "hooks see the outcome of the task"
    done = after_call(back.envelope, Ended(None, 0), Actor(name="x-sink"), NOW)
    assert (done.row, done.sends, done.final) == ("sink-done", (), None), "reported once, on the first pass"


def test_the_sink_reports_the_outcome() -> None:
    failed = retried(envelope(), ME, 3).decision.sends[0].envelope
    final = after_call(failed, Ended(None, 0), Actor(name="x-sink"), NOW).final
    assert final is not None
    assert (final.status, final.reason, final.actor) == ("failed", "PolicyExhausted", "me")


def test_the_sinks_own_retries_keep_the_outcome() -> None:
    sink = Actor(name="x-sink", resiliency=RETRY)
    ended = after(Ended(result(), 1), envelope("me")).decision.sends[0].envelope
    case = retried(ended, sink, 3)
    assert case.decision.row == "sink-failed"
    assert case.given.status is not None
    assert case.given.status.phase == "succeeded", "retrying the keeping of an outcome does not change it"


def test_a_repeated_call_emits_the_same_ids() -> None:
    given = envelope()
    once = [child_send(given, result(), n, ME, NOW).envelope.id for n in (1, 2)]
    again = after(Failed(failure=BOOM, published=1)).decision.sends[0].envelope
    assert [child_send(again, result(), n, ME, NOW + 60).envelope.id for n in (1, 2)] == once
    assert len({*once, given.id}) == 3
    child = child_send(given, result(), 1, ME, NOW).envelope
    assert child.parent_id == given.id


def test_an_override_sends_elsewhere_and_says_so() -> None:
    given = envelope(headers={headers.ROUTE_OVERRIDE: raw({"b": "b-canary"})})
    send = after(Ended(result(), 1), given).decision.sends[0]
    assert send.actor == "b-canary"
    assert send.envelope.route.curr == "b"
    assert json.loads(bytes(send.envelope.headers[headers.ROUTE_RESOLVED])) == {"b": {"target": "b-canary", "by": "me"}}
    assert before_call(send.envelope, Actor(name="b-canary"), NOW) is None
    onward = after_call(send.envelope, Ended(result(), 1), Actor(name="b-canary"), NOW).sends[0].envelope
    assert onward.route.prev == ["me", "b"]


@pytest.mark.parametrize("shape", [1, "b", ["b"], {"b": 1}, None])
def test_an_override_of_the_wrong_shape_overrides_nothing(shape: Any) -> None:
    given = envelope(headers={headers.ROUTE_OVERRIDE: raw(shape)})
    assert after(Ended(result(), 1), given).decision.sends[0].actor == "b"


def test_too_large_keeps_the_input_and_names_both_sizes() -> None:
    sent = CASES["too-large"]().decision.sends[0].envelope
    assert sent.status is not None
    assert sent.status.error is not None
    assert "99" in sent.status.error.message
    assert "10" in sent.status.error.message
    assert json.loads(bytes(sent.payload)) == {"n": 1}


def test_too_large_even_for_the_sump_is_dead_lettered() -> None:
    case = undelivered(TooLargeError(actor="x-sump", size=99, limit=10), to="x-sump")
    assert case.decision.settle is Settle.DEAD_LETTER


def test_an_unknown_destination_is_named_and_the_result_kept() -> None:
    sent = CASES["no-destination"]().decision.sends[0].envelope
    assert sent.status is not None
    assert sent.status.error is not None
    assert "'b'" in sent.status.error.message
    assert json.loads(bytes(sent.payload)) == {"big": 1}
    assert sent.route.curr == "b", "it can be sent again as it is"


def test_long_texts_are_cut() -> None:
    long = Failure(type="E", message="m" * 100_000, traceback="t" * 1_000_000)
    sent = after(Failed(failure=long), actor=Actor(name="me")).decision.sends[0].envelope
    assert len(encode(sent)) < 30_000


def test_unknown_fields_and_flow_survive_a_hop() -> None:
    body = (
        b'{"id":"a","later":[1.50],"flow":{"graph":"sha","node":3},"route":{"prev":[],"curr":"me","next":["b"],"x":1},'
        b'"payload":{"a":1e400},"status":{"phase":"pending","custom":12345678901234567890123}}'
    )
    given, decision = receive(body, ME, NOW)
    assert decision is None
    sent = json.loads(encode(after_call(given, Ended(result(), 1), ME, NOW).sends[0].envelope), parse_float=str)
    assert sent["later"] == ["1.50"]
    assert sent["flow"] == {"graph": "sha", "node": 3}
    assert sent["route"]["x"] == 1
    assert sent["status"]["custom"] == 12345678901234567890123


def test_the_deadline_cannot_be_moved_by_a_handler() -> None:
    given = envelope()
    sent = after(Ended(result(status={"deadline_at": "2099-01-01T00:00:00Z", "mine": 1}), 1), given).decision.sends[0]
    wire = json.loads(encode(sent.envelope))
    assert given.status is not None
    assert wire["status"]["deadline_at"] == given.status.deadline_at
    assert wire["status"]["mine"] == 1


def test_raw_results_are_not_reencoded() -> None:
    text = b'{"a": 1.10,  "b":"\\u00e9"}'
    sent = after(Ended(Result(b"", text), 1)).decision.sends[0].envelope
    assert text in encode(sent)
    assert sent.payload == Raw(text)


def test_without_an_id_and_otherwise_wrong_it_is_unparsable_and_does_not_loop() -> None:
    for body in (
        b'{"route":{"curr":"me"},"headers":{"x-asya-hop":-1},"payload":1}',
        b'{"route":{"curr":"me"},"status":{"deadline_at":"x"},"payload":1}',
    ):
        case = received(body)
        assert case.decision.row == "unparsable"
        assert receive(encode(case.decision.sends[0].envelope), Actor(name="x-sump"), NOW)[1] is None


def test_a_pause_that_came_with_the_message_is_not_asked_again() -> None:
    given = envelope(headers={headers.PAUSE: raw({"prompt": "ok?"})})
    same = {"x-asya-pause": {"prompt": "ok?"}}
    for done in (result(), result(headers=same)):
        case = after(Ended(done, 1), given)
        assert case.decision.row == "result"
        assert headers.PAUSE not in case.decision.sends[0].envelope.headers
    assert after(Ended(result(headers={"x-asya-pause": {"prompt": "really?"}}), 1), given).decision.row == "pause-asked"


def test_only_the_tracked_result_can_pause_its_task() -> None:
    send = child_send(envelope(), result(headers={"x-asya-pause": {}}), 1, ME, NOW)
    assert headers.PAUSE not in send.envelope.headers


@pytest.mark.parametrize("terminal", ["x-sink", "x-sump"])
def test_terminal_actors_cannot_be_overridden(terminal: str) -> None:
    given = envelope("me", headers={headers.ROUTE_OVERRIDE: raw({terminal: "me"}), headers.HOP: raw(1001)})
    assert before(given).decision.sends[0].actor == "x-sink"
    assert after(Ended(result(), 1), given).decision.sends[0].actor == "x-sink"


def test_the_hop_counter_stops_where_it_can_still_be_read() -> None:
    given = envelope(headers={headers.HOP: raw(999_999_999)})
    sent = before(given).decision.sends[0].envelope
    assert decode(encode(sent)).hop == 999_999_999


def test_a_failing_hook_leaves_the_outcome_and_has_no_deadline() -> None:
    hook = Actor(name="hook", resiliency=RETRY)
    first = hooked().decision.sends[0].envelope
    failed = after_call(first, Failed(failure=BOOM), hook, NOW + 99_999)
    assert failed.row == "handler-error", "the deadline of the task is over, the hook's work is not"
    given_up = after_call(first, Failed(failure=BOOM), Actor(name="hook"), NOW)
    assert (given_up.row, given_up.sends[0].actor) == ("exhausted", "x-sink")
    assert given_up.sends[0].envelope.status == first.status


@pytest.mark.parametrize("route", [(), ("plan-b",)])
def test_the_outcome_of_the_task_outlives_the_retries_of_a_hook(route: tuple[str, ...]) -> None:
    policies = {"default": Policy(max_attempts=3, initial_delay=1.0, max_duration=60.0, on_exhausted=route)}
    hook = Actor(name="hook", resiliency=Resiliency(policies=policies))
    lost = retried(envelope(), ME, 3).decision.sends[0].envelope
    sink_with_hooks = after_call(lost, Ended(result(next=["hook", "last"]), 1), Actor(name="x-sink"), NOW)
    first = sink_with_hooks.sends[0].envelope
    assert first.status is not None
    assert (first.status.phase, first.status.actor, first.status.attempt) == ("failed", "me", 3)

    given, rows = first, []
    for _ in range(3):
        decision = after_call(given, Failed(failure=BOOM), hook, NOW)
        rows.append(decision.row)
        given = decode(encode(decision.sends[0].envelope))
        assert given.status == first.status
    assert rows == ["handler-error", "handler-error", "exhausted-route" if route else "exhausted"]
    assert decision.sends[0].actor == ("plan-b" if route else "x-sink")

    again = decode(encode(after_call(first, Failed(failure=BOOM), hook, NOW).sends[0].envelope))
    assert after_call(again, Failed(failure=BOOM), hook, NOW + 61).row == "retry-too-late", "the first attempt is known"
    onward = after_call(again, Ended(result(), 1), hook, NOW).sends[0]
    assert onward.actor == "last"
    assert onward.envelope.status == first.status
    at_last = after_call(onward.envelope, Failed(failure=BOOM), Actor(name="last", resiliency=hook.resiliency), NOW)
    assert at_last.row == "handler-error", "it counts its own attempts"
    assert bytes(at_last.sends[0].envelope.headers["x-asya-terminal-attempt"]) == b"2"


def test_a_huge_attempt_header_at_a_terminal_actor_is_no_number() -> None:
    given = envelope("x-sink", headers={"x-asya-terminal-attempt": raw(int("9" * 4000))})
    assert after(Failed(failure=BOOM), given, Actor(name="x-sink", resiliency=RETRY)).decision.row == "handler-error"
