"""How the next envelope is made from the present one. What is not named here stays as it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from asya.wire import Envelope, ErrorInfo, Raw, Route, Status, format_time, headers, raw
from asya.wire.envelope import LARGEST_HOP, Phase
from asya_sidecar.decide.model import Actor, Send

TERMINAL_ATTEMPT = headers.TERMINAL_ATTEMPT
_ATTEMPT_DIGITS = 9


def is_over(envelope: Envelope, actor: Actor) -> bool:
    """Tell whether the task has ended before this actor: it is the sink or the sump, or a hook behind the sink."""
    return actor.role != "actor" or actor.sink in envelope.route.prev


def attempt_at(envelope: Envelope, actor: Actor) -> int:
    """Return the number of this attempt at this actor, 1 for the first."""
    if is_over(envelope, actor):
        count = envelope.headers.get(TERMINAL_ATTEMPT)
        digits = b"" if count is None else bytes(count)
        return max(int(digits), 1) if digits.isdigit() and len(digits) <= _ATTEMPT_DIGITS else 1
    status = envelope.status
    again = status is not None and status.phase == "retrying" and status.actor == actor.name
    return max(status.attempt, 1) if again and status is not None else 1


def override_target(envelope_headers: dict[str, Raw], actor: str) -> str | None:
    """Return the replacement that header `x-asya-route-override` names for `actor`, or None."""
    value = envelope_headers.get(headers.ROUTE_OVERRIDE)
    if value is None:
        return None
    try:
        target = msgspec.json.decode(value, type=dict[str, str]).get(actor)
    except (msgspec.MsgspecError, RecursionError):
        return None  # not ours to judge: a header of the wrong shape overrides nothing
    return target or None


def addressed(envelope: Envelope, destination: str, actor: Actor, *, delay: float = 0.0) -> Send:
    """Return the send to `destination`, or to its replacement, with the audit header.

    The terminal actors have no replacement: an override of the sink would send every guard's verdict round again.
    """
    target = override_target(envelope.headers, destination) if headers.ROUTE_OVERRIDE in envelope.headers else None
    if target is None or target == destination or destination in (actor.sink, actor.sump):
        return Send(destination, envelope, delay)
    resolved: dict[str, Any] = {}
    if (known := envelope.headers.get(headers.ROUTE_RESOLVED)) is not None:
        try:
            resolved = msgspec.json.decode(known, type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError):
            resolved = {}
    resolved[destination] = {"target": target, "by": actor.name}
    envelope.headers = {**envelope.headers, headers.ROUTE_RESOLVED: raw(resolved)}
    return Send(target, envelope, delay)


def status_of(
    envelope: Envelope,
    actor: Actor,
    now: float,
    *,
    phase: Phase,
    reason: str | None = None,
    error: ErrorInfo | None = None,
    attempt: int = 1,
    max_attempts: int = 0,
    partial: int | None = None,
) -> Status:
    """Make the outgoing status; times of creation and the deadline are carried over."""
    old = envelope.status
    stamp = format_time(now)
    return Status(
        phase=phase,
        reason=reason,
        actor=actor.name,
        attempt=attempt,
        max_attempts=max_attempts,
        created_at=(old.created_at if old is not None and old.created_at else stamp),
        updated_at=stamp,
        deadline_at=None if old is None else old.deadline_at,
        error=error,
        partial=partial,
    )


def moved(
    envelope: Envelope,
    *,
    route: Route,
    status: Status,
    payload: Raw | None = None,
    envelope_headers: dict[str, Raw] | None = None,
    envelope_id: str | None = None,
    parent_id: str | None = None,
) -> Envelope:
    """Return the envelope after this actor: one hop further, first-attempt stamps gone."""
    kept = dict(envelope.headers if envelope_headers is None else envelope_headers)
    kept.pop(headers.FIRST_ATTEMPT, None)
    kept.pop(TERMINAL_ATTEMPT, None)
    kept[headers.HOP] = Raw(b"%d" % min(envelope.hop + 1, LARGEST_HOP))
    return Envelope(
        id=envelope_id or envelope.id,
        parent_id=parent_id or envelope.parent_id,
        route=route,
        headers=kept,
        payload=envelope.payload if payload is None else payload,
        status=status,
        flow=envelope.flow,
        extra=envelope.extra,
    )


def done_by(envelope: Envelope, actor: Actor) -> list[str]:
    """Return `route.prev` with this actor added under the name the route knows it by."""
    here = envelope.route.curr if actor.role == "actor" and envelope.route.curr else actor.name
    return [*envelope.route.prev, here]


def to_sink(
    envelope: Envelope,
    actor: Actor,
    now: float,
    *,
    phase: Phase,
    reason: str | None,
    prev: Sequence[str],
    error: ErrorInfo | None = None,
    payload: Raw | None = None,
    attempt: int = 1,
    max_attempts: int = 0,
    partial: int | None = None,
) -> Send:
    """End the route here: `curr` is the sink, nothing is next."""
    status = status_of(
        envelope, actor, now, phase=phase, reason=reason, error=error, attempt=attempt, max_attempts=max_attempts,
        partial=partial,
    )  # fmt: skip
    route = Route(prev=list(prev), curr=actor.sink, next=[])
    return addressed(moved(envelope, route=route, status=status, payload=payload), actor.sink, actor)


def to_sump(
    envelope: Envelope,
    actor: Actor,
    now: float,
    *,
    reason: str,
    error: ErrorInfo,
    payload: Raw | None = None,
) -> Send:
    """Send to the actor of last resort. The route stays as it was, so that the message can be sent again."""
    status = status_of(envelope, actor, now, phase="failed", reason=reason, error=error)
    route = Route(prev=list(envelope.route.prev), curr=envelope.route.curr, next=list(envelope.route.next))
    return Send(actor.sump, moved(envelope, route=route, status=status, payload=payload))
