"""Hops as the loop hands them over at their end."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from asya.policy import Failure
from asya.transports import Delivery, Outgoing
from asya.wire import Raw, encode, format_time, new_envelope
from asya_sidecar.decide import Actor, Ended, Failed, Outcome, Result, after_call, receive
from asya_sidecar.hop import Hop

ACTOR = Actor(name="embed")


def passed(
    outcome: Outcome | None = None, *, actor: Actor = ACTOR, age: float = 0.5, attempts: int = 1, **envelope: Any
) -> Hop:
    """Return a settled hop of 10 ms in a slot: 1 ms waited before, 5 ms in the handler, 2 ms to be published."""
    now = time.time()
    made = new_envelope([actor.name, "store"], Raw(b'{"text":"hello"}'), now=now - age)
    body = encode(msgspec.structs.replace(made, **envelope))
    hop = Hop(None, Delivery(body, actor.name, None, attempts), 99.999)  # type: ignore[arg-type]  # goes nowhere
    hop.begun, hop.called, hop.answered, hop.concluded, hop.settled = 100.0, 100.001, 100.006, 100.008, 100.010
    hop.began_at = now
    hop.envelope, decision = receive(body, actor, now)
    hop.outcome = outcome or Ended(Result(b"", b"[1,2,3]"), 1)
    hop.decision = decision or after_call(hop.envelope, hop.outcome, actor, now)
    hop.messages = [Outgoing(send.actor, encode(send.envelope), send.delay) for send in hop.decision.sends]
    return hop


def failed(cause: str = "handler-error", kind: str = "ValueError") -> Failed:
    """Return a call that failed."""
    return Failed(failure=Failure(type=kind, message="no"), cause=cause)


def stamp(seconds: float) -> str:
    """Return a time of the wire."""
    return format_time(seconds)
