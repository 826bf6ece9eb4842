"""Before the call: is this an envelope, is it ours, may it still run? Checked in the order the truth table gives."""

from __future__ import annotations

import base64
from typing import Literal

from asya.errors import WireError
from asya.wire import Envelope, ErrorInfo, Raw, Route, content_id, decode, raw
from asya_sidecar.decide.build import done_by, override_target, to_sink, to_sump
from asya_sidecar.decide.model import Actor, Decision

Preflight = Literal["canceled", "paused"]


def receive(body: bytes, actor: Actor, now: float) -> tuple[Envelope, Decision | None]:
    """Read a delivery; a message that brings no id gets one made from its bytes.

    Returns the envelope, and the decision where reading alone settles it (rows `unparsable` and `no-id`).
    """
    try:
        return decode(body), None
    except WireError as error:
        kind, info = error.kind, ErrorInfo(type="ParseError", message=str(error))
    fresh_id = content_id(body)
    if kind == "no-id":
        try:
            envelope = decode(body, fallback_id=fresh_id)
        except WireError as error:  # the id was not all that is wrong with it
            kind, info = error.kind, ErrorInfo(type="ParseError", message=str(error))
    if kind != "no-id":
        envelope = Envelope(id=fresh_id, route=Route(curr=actor.name), payload=_original(body))
    return envelope, Decision(row=kind, sends=(to_sump(envelope, actor, now, reason="ParseError", error=info),))


def before_call(envelope: Envelope, actor: Actor, now: float, preflight: Preflight | None = None) -> Decision | None:
    """Decide whether the handler is called: None = call it.

    `preflight` is what the receiver of reports said, None where none was asked or it did not know better.
    """
    if actor.role != "actor":
        return None  # row terminal-actor: whatever arrives here has come to its end
    curr = envelope.route.curr
    if curr != actor.name and override_target(envelope.headers, curr) != actor.name:
        message = f"the route says {curr!r}, this is {actor.name!r}"
        error = ErrorInfo(type="RouteMismatch", message=message)
        return Decision(row="wrong-actor", sends=(to_sump(envelope, actor, now, reason="RouteMismatch", error=error),))
    if envelope.hop > actor.max_hops:
        error = ErrorInfo(type="HopLimit", message=f"{envelope.hop} hops, the limit is {actor.max_hops}")
        send = to_sink(
            envelope, actor, now, phase="failed", reason="HopLimit", error=error, prev=done_by(envelope, actor)
        )
        return Decision(row="hop-limit", sends=(send,))
    if actor.sink in envelope.route.prev:
        return None  # a hook of the sink: the task has ended, so it can be neither canceled nor late
    return _stopped(envelope, actor, now, preflight)


def _stopped(envelope: Envelope, actor: Actor, now: float, preflight: Preflight | None) -> Decision | None:
    prev = envelope.route.prev
    if preflight == "canceled":
        send = to_sink(envelope, actor, now, phase="canceled", reason="PreFlightCanceled", prev=prev)
        return Decision(row="canceled", sends=(send,))
    if preflight == "paused":
        send = to_sink(envelope, actor, now, phase="paused", reason="PreFlightPaused", prev=prev)
        # Row `paused`: the route stays, so that whoever resumes the task can send it on.
        send.envelope.route.next = [envelope.route.curr, *envelope.route.next]
        return Decision(row="paused", sends=(send,))
    deadline = envelope.deadline_at
    if deadline is not None and now >= deadline:
        error = ErrorInfo(type="DeadlineExceeded", message="the deadline passed before the call")
        send = to_sink(
            envelope, actor, now, phase="failed", reason="Timeout", error=error, prev=done_by(envelope, actor)
        )
        return Decision(row="deadline-over", sends=(send,))
    return None


def _original(body: bytes) -> Raw:
    """Keep the bytes of what could not be read: as text where it is text, else base64 (RFC 4648 section 4)."""
    try:
        return raw({"original": body.decode()})
    except UnicodeDecodeError:
        return raw({"original_base64": base64.b64encode(body).decode("ascii")})
