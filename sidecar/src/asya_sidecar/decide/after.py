"""After the call: where results go, whether a failure is tried again, when a message is done with."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from asya.policy import Failure, Retry
from asya.policy.resiliency import INVALID_ROUTE, Exhausted, TooLate
from asya.transports import Settle
from asya.wire import Envelope, ErrorInfo, Raw, Route, Status, child_id, format_time, headers, parse_time, raw
from asya.wire.envelope import Unknown
from asya_sidecar.decide.build import (
    TERMINAL_ATTEMPT,
    addressed,
    attempt_at,
    done_by,
    is_over,
    moved,
    status_of,
    to_sink,
    to_sump,
)
from asya_sidecar.decide.model import Actor, Away, Canceled, Decision, Ended, Failed, Final, Outcome, Result, Send

ACTOR_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
MESSAGE_CHARACTERS = 4096
TRACEBACK_CHARACTERS = 16384
_STATUS_FIELDS = frozenset(Status.__struct_fields__)
_REASONS = {"call-timeout": "Timeout", "invalid-route": "InvalidRoute"}


class InvalidResult(Exception):  # noqa: N818  it is an outcome on its way to a Decision, not an error of ours
    """A result that cannot be sent on; `failed` is what the call has become by it."""

    def __init__(self, message: str) -> None:
        self.failed = Failed(failure=Failure(type=INVALID_ROUTE, message=message), cause="invalid-route")
        super().__init__(message)


class _Changes(msgspec.Struct):
    next: list[str] | msgspec.UnsetType = msgspec.UNSET
    headers: dict[str, Raw] | msgspec.UnsetType = msgspec.UNSET
    status: dict[str, Raw] | msgspec.UnsetType = msgspec.UNSET


_NO_CHANGES = _Changes()
_decode_changes = msgspec.json.Decoder(_Changes).decode


def after_call(envelope: Envelope, outcome: Outcome, actor: Actor, now: float) -> Decision:
    """Decide what becomes of the message now that the call is over."""
    match outcome:
        case Ended():
            if actor.role != "actor":
                return _terminal_done(envelope, outcome, actor)
            try:
                return _ended(envelope, outcome, actor, now)
            except InvalidResult as invalid:
                failed = msgspec.structs.replace(invalid.failed, published=max(outcome.count - 1, 0))
                return _failed(envelope, failed, actor, now)
        case Failed():
            return _failed(envelope, outcome, actor, now)
        case Canceled():
            send = to_sink(envelope, actor, now, phase="canceled", reason="Canceled", prev=done_by(envelope, actor))
            return Decision(row="canceled-in-call", sends=(send,))
        case Away():
            return Decision(row="runtime-away", settle=Settle.RELEASE)  # unstarted: no attempt is counted


def child_send(envelope: Envelope, result: Result, index: int, actor: Actor, now: float) -> Send:
    """Return the send of result `index` (1-based) of a call that still runs.

    Raises:
        InvalidResult: Its route is not one (row `invalid-route`).
    """
    send, _ = _onward(envelope, result, actor, now, index=index)
    send.envelope.headers.pop(headers.PAUSE, None)  # only the tracked result can pause its task
    return send


def deadline_of(envelope: Envelope, actor: Actor) -> float | None:
    """Return the deadline that holds here: none at the sink and behind it, where the task has ended already."""
    return None if is_over(envelope, actor) else envelope.deadline_at


def terminal_final(envelope: Envelope, actor: Actor) -> Final | None:
    """Return what a terminal actor reports for this message; None when it was reported on an earlier pass."""
    if actor.sink in envelope.route.prev:
        return None
    status = envelope.status or Status()
    phase: Literal["succeeded", "failed", "canceled", "paused"]
    match status.phase:
        case "succeeded" | "failed" | "canceled" | "paused":
            phase = status.phase
        case _:
            # Sent here by hand, without an outcome: it came to the end of its route.
            phase = "failed" if actor.role == "sump" else "succeeded"
    return Final(status=phase, reason=status.reason, actor=status.actor, error=status.error, partial=status.partial)


def _ended(envelope: Envelope, outcome: Ended, actor: Actor, now: float) -> Decision:
    if outcome.first is None:
        send = to_sink(envelope, actor, now, phase="succeeded", reason="Completed", prev=done_by(envelope, actor))
        return Decision(row="nothing", sends=(send,))
    send, changed = _onward(envelope, outcome.first, actor, now)
    if headers.PAUSE in changed:
        # The handler has stored what is needed to go on (it asked only after that); the report is acknowledged first.
        return Decision(row="pause-asked", final=Final(status="paused", reason="Paused", actor=actor.name))
    if outcome.count > 1:
        return Decision(row="fan-out", sends=(send,))
    at_end = send.envelope.status is not None and send.envelope.status.phase == "succeeded"
    return Decision(row="end-of-route" if at_end else "result", sends=(send,))


def _onward(
    envelope: Envelope, result: Result, actor: Actor, now: float, *, index: int = 0
) -> tuple[Send, dict[str, Raw]]:
    """Make the envelope of one result; returns it with the headers as the handler left them."""
    changes = _read_changes(result.changes)
    following = envelope.route.next if changes.next is msgspec.UNSET else _checked(changes.next, envelope, actor)
    # A pause is asked by this very result; one that came with the message has had its effect, or never had one.
    kept = envelope.headers if changes.headers is msgspec.UNSET else changes.headers
    asks = _asks_to_pause(envelope, changes)
    kept = {name: value for name, value in kept.items() if name != headers.PAUSE or asks}
    past_sink = actor.sink in envelope.route.prev
    if past_sink and envelope.status is not None:
        status = envelope.status  # a hook: the outcome of the task stays readable for the hooks behind it
    elif following:
        status = status_of(envelope, actor, now, phase="pending")
    else:
        status = status_of(envelope, actor, now, phase="succeeded", reason="Completed")
    prev = done_by(envelope, actor)
    route = Route(prev=prev, curr=following[0], next=following[1:]) if following else Route(prev=prev, curr=actor.sink)
    onward = moved(
        envelope,
        route=route,
        status=status,
        payload=Raw(result.payload),
        envelope_headers=kept,
        envelope_id=child_id(envelope.id, actor.name, envelope.hop, index) if index else None,
        parent_id=envelope.id if index else None,
    )
    if changes.status is not msgspec.UNSET:
        onward.extra = _with_status_fields(envelope.extra, changes.status)
    return addressed(onward, route.curr, actor), kept


def _asks_to_pause(envelope: Envelope, changes: _Changes) -> bool:
    """Tell whether the handler itself set the header: it is new, or another than the one that came."""
    if changes.headers is msgspec.UNSET or headers.PAUSE not in changes.headers:
        return False
    before = envelope.headers.get(headers.PAUSE)
    # By value: the handler's side writes the same JSON with other spaces.
    return before is None or msgspec.json.decode(before) != msgspec.json.decode(changes.headers[headers.PAUSE])


def _read_changes(text: bytes) -> _Changes:
    if not text:
        return _NO_CHANGES
    try:
        return _decode_changes(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidResult(f"the handler left a route or headers that are none: {error}") from None


def _checked(following: list[str], envelope: Envelope, actor: Actor) -> list[str]:
    if len(following) > actor.max_route:
        raise InvalidResult(f"route.next has {len(following)} actors, the limit is {actor.max_route}")
    may_end = actor.role == "sink" or actor.sink in envelope.route.prev
    for name in following:
        if name in (actor.sink, actor.sump) and not may_end:
            raise InvalidResult(f"route.next names {name!r}; every route ends there by itself")
        if not ACTOR_NAME.fullmatch(name):
            raise InvalidResult(f"route.next names {name[:80]!r}, which cannot be an actor's name")
    return following


def _with_status_fields(extra: Unknown | None, status: dict[str, Raw]) -> Unknown:
    """Keep the handler's own fields of status; the fields of the protocol are the sidecar's to write."""
    own = {name: value for name, value in status.items() if name not in _STATUS_FIELDS}
    old = extra or Unknown()
    return Unknown(top=old.top, route=old.route, status=own)


def _terminal_done(envelope: Envelope, outcome: Ended, actor: Actor) -> Decision:
    final = terminal_final(envelope, actor)
    if actor.role == "sump":
        return Decision(row="sump-done", final=final)
    if outcome.first is not None and actor.sink not in envelope.route.prev:
        try:
            changes = _read_changes(outcome.first.changes)
            following = [] if changes.next is msgspec.UNSET else _checked(changes.next, envelope, actor)
        except InvalidResult:
            following = []  # a hook list that is none: settings of the crew refuse it before it comes here
        if following:
            route = Route(prev=[*envelope.route.prev, actor.name], curr=following[0], next=following[1:])
            onward = moved(envelope, route=route, status=envelope.status or Status())
            return Decision(row="sink-hooks-left", sends=(addressed(onward, following[0], actor),), final=final)
    return Decision(row="sink-done", final=final)


def _failed(envelope: Envelope, outcome: Failed, actor: Actor, now: float) -> Decision:
    attempt, first_attempt_at = _attempts(envelope, actor, now)
    failure = _bounded(outcome.failure)
    verdict = actor.resiliency.judge(
        failure,
        attempt=attempt,
        now=now,
        first_attempt_at=first_attempt_at,
        deadline_at=deadline_of(envelope, actor),
        salt=envelope.id.encode("utf-8", "surrogatepass"),
    )
    error = ErrorInfo(type=failure.type, message=failure.message, mro=list(failure.mro), traceback=failure.traceback)
    if isinstance(verdict, Retry):
        again = _again(envelope, actor, now, attempt, first_attempt_at, verdict, error)
        return Decision(row="handler-error", cause=outcome.cause, sends=(again,), failure=failure)
    if actor.role != "actor":
        return _terminal_failed(envelope, outcome, actor, now, error)
    return _given_up(envelope, outcome, actor, now, attempt, verdict, error)


def _given_up(
    envelope: Envelope,
    outcome: Failed,
    actor: Actor,
    now: float,
    attempt: int,
    verdict: Exhausted | TooLate,
    error: ErrorInfo,
) -> Decision:
    prev, past_sink = done_by(envelope, actor), actor.sink in envelope.route.prev
    if isinstance(verdict, Exhausted) and verdict.route:
        if past_sink and envelope.status is not None:
            status = envelope.status
        else:
            status = status_of(envelope, actor, now, phase="pending", reason="PolicyRouted", error=error)
        route = Route(prev=prev, curr=verdict.route[0], next=list(verdict.route[1:]))
        send = addressed(moved(envelope, route=route, status=status), verdict.route[0], actor)
        return Decision(row="exhausted-route", cause=outcome.cause, sends=(send,), failure=outcome.failure)
    late = isinstance(verdict, TooLate)
    reason = verdict.reason if isinstance(verdict, TooLate) else _REASONS.get(outcome.cause, "PolicyExhausted")
    row = "retry-too-late" if late else "exhausted"
    if past_sink and envelope.status is not None:
        # A hook failed, not the task: its outcome stays what it is.
        back = moved(envelope, route=Route(prev=prev, curr=actor.sink), status=envelope.status)
        return Decision(row=row, cause=outcome.cause, sends=(Send(actor.sink, back),), failure=outcome.failure)
    send = to_sink(
        envelope, actor, now, phase="failed", reason=reason, prev=prev, error=error, attempt=attempt,
        max_attempts=verdict.max_attempts, partial=outcome.published or None,
    )  # fmt: skip
    return Decision(row=row, cause=outcome.cause, sends=(send,), failure=outcome.failure)


def _terminal_failed(envelope: Envelope, outcome: Failed, actor: Actor, now: float, error: ErrorInfo) -> Decision:
    if actor.role == "sump":
        return Decision(
            row="sump-failed",
            cause=outcome.cause,
            settle=Settle.DEAD_LETTER,
            final=terminal_final(envelope, actor),
            failure=outcome.failure,
        )
    send = to_sump(envelope, actor, now, reason="PolicyExhausted", error=error)
    return Decision(row="sink-failed", cause=outcome.cause, sends=(send,), failure=outcome.failure)


def _attempts(envelope: Envelope, actor: Actor, now: float) -> tuple[int, float]:
    """Return the number of this attempt at this actor, and when the first one was."""
    attempt = attempt_at(envelope, actor)
    return attempt, now if attempt == 1 else _time_in(envelope.headers.get(headers.FIRST_ATTEMPT), now)


def _time_in(value: Raw | None, now: float) -> float:
    """Read a first-attempt stamp. One that cannot be read counts as now: it only shortens nothing."""
    if value is None:
        return now
    try:
        return parse_time(msgspec.json.decode(value, type=str))
    except Exception:  # noqa: BLE001  a foreign header of whatever shape must not fail the message
        return now


def _again(
    envelope: Envelope,
    actor: Actor,
    now: float,
    attempt: int,
    first_attempt_at: float,
    verdict: Retry,
    error: ErrorInfo,
) -> Send:
    """Return the send back to our own queue: same route, same hop, so a repeated call emits the same child ids."""
    kept = {**envelope.headers, headers.FIRST_ATTEMPT: raw(format_time(first_attempt_at))}
    status = envelope.status
    if is_over(envelope, actor):
        kept[TERMINAL_ATTEMPT] = raw(attempt + 1)
    else:
        status = status_of(
            envelope, actor, now, phase="retrying", error=error, attempt=attempt + 1, max_attempts=verdict.max_attempts
        )
    return Send(actor.name, msgspec.structs.replace(envelope, headers=kept, status=status), verdict.delay)


def _bounded(failure: Failure) -> Failure:
    """Cut texts that would make the message grow with every failure."""
    changes: dict[str, Any] = {}
    if len(failure.message) > MESSAGE_CHARACTERS:
        changes["message"] = failure.message[:MESSAGE_CHARACTERS] + " …"
    if len(failure.traceback) > TRACEBACK_CHARACTERS:
        half = TRACEBACK_CHARACTERS // 2
        changes["traceback"] = failure.traceback[:half] + "\n…\n" + failure.traceback[-half:]
    return msgspec.structs.replace(failure, **changes) if changes else failure
