"""What may be sent on for one delivery, written from the truth table and from nothing of the product."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from tests.simulation import table
from tests.simulation.facts import CallFact, Facts, attempt_of, hop_of
from tests.simulation.plan import SINK, SUMP, ActorPlan, Policy

NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://asya.sh/envelope/v1")
OWN_HEADERS: Final = ("x-asya-hop", "x-asya-first-attempt", "x-asya-terminal-attempt", "x-asya-route-resolved")
PAUSE: Final = "x-asya-pause"
MAX_HOPS, MAX_ROUTE = 1000, 1000
SLACK: Final = 0.002
"""Seconds; times on the wire are cut to milliseconds."""
ANY: Final = object()
CRASH: Final = Policy(max_attempts=3, initial_delay=1.0, max_interval=300.0)


@dataclass(frozen=True)
class Expected:
    """One permitted end of a delivery. `sends` is empty or one message; `children` must have arrived before."""

    rows: tuple[str, ...]
    settle: str = "ack"
    send: Message | None = None
    children: tuple[Message, ...] = ()
    final: str = ""
    """Status of the report that must be acknowledged first, where somebody hears reports."""
    store: bool = False
    """Whether the crew's handler must have stored it."""


@dataclass(frozen=True)
class Message:
    """One message as it must look. ANY where the table leaves it open."""

    to: str
    id: Any
    parent: Any
    prev: tuple[str, ...]
    curr: str
    next: tuple[str, ...]
    headers: dict[str, Any]
    hop: int
    payload: Any
    created_at: Any
    deadline_at: Any
    phase: Any = ANY
    reason: Any = ANY
    actor: Any = ANY
    attempt: Any = ANY
    error: Any = ANY
    partial: Any = ANY
    delay: tuple[float, float] = (0.0, 0.0)
    resolved: dict[str, Any] = field(default_factory=dict)

    def difference(self, to: str, sent: dict[str, Any], delay: float) -> str:
        """Say how a sent message differs; empty when it does not."""
        status, route, headers = sent.get("status") or {}, sent["route"], sent.get("headers") or {}
        error = status.get("error") or {}
        pairs = (
            ("destination", self.to, to),
            ("id", self.id, sent.get("id")),
            ("parent_id", self.parent, sent.get("parent_id")),
            ("route.prev", list(self.prev), route.get("prev", [])),
            ("route.curr", self.curr, route.get("curr")),
            ("route.next", list(self.next), route.get("next", [])),
            ("headers", strip(self.headers), strip(headers)),
            ("hop", self.hop, headers.get("x-asya-hop", 0)),
            ("payload", self.payload, sent.get("payload")),
            ("created_at", self.created_at, status.get("created_at")),
            ("deadline_at", self.deadline_at, status.get("deadline_at")),
            ("phase", self.phase, status.get("phase")),
            ("reason", self.reason, status.get("reason")),
            ("status.actor", self.actor, status.get("actor")),
            ("attempt", self.attempt, status.get("attempt")),
            ("error", self.error, error.get("type")),
            ("partial", self.partial, status.get("partial")),
        )
        for name, wanted, found in pairs:
            if wanted is not ANY and wanted != found:
                return f"{name} is {found!r:.200}, expected {wanted!r:.200}"
        if self.resolved and headers.get("x-asya-route-resolved", {}).keys() < self.resolved.keys():
            return "x-asya-route-resolved does not tell"
        low, high = self.delay
        if not low - SLACK <= delay <= high + SLACK:
            return f"delay is {delay:.3f}, expected {low:.3f} to {high:.3f}"
        return ""


def strip(headers: dict[str, Any]) -> dict[str, Any]:
    """Leave out the headers that the sidecar writes itself."""
    return {name: value for name, value in headers.items() if name not in OWN_HEADERS}


@dataclass(frozen=True)
class Situation:
    """One delivery, and when: loop times, and the lowest and highest Unix time anybody can have read meanwhile."""

    pod: str
    actor: ActorPlan
    body: bytes
    envelope: dict[str, Any]
    since: float
    now: float
    low: float
    high: float

    @property
    def id(self) -> str:
        return str(self.envelope.get("id") or "")

    @property
    def terminal(self) -> bool:
        return self.actor.name in (SINK, SUMP)

    @property
    def prev(self) -> tuple[str, ...]:
        return tuple(self.envelope["route"].get("prev", []))

    @property
    def curr(self) -> str:
        return str(self.envelope["route"]["curr"])

    @property
    def next(self) -> tuple[str, ...]:
        return tuple(self.envelope["route"].get("next", []))

    @property
    def past_sink(self) -> bool:
        return SINK in self.prev

    @property
    def attempt(self) -> int:
        return attempt_of(self.envelope, self.actor.name, terminal=self.terminal)

    @property
    def deadline(self) -> float | None:
        text = (self.envelope.get("status") or {}).get("deadline_at")
        return None if text is None or self.terminal or self.past_sink else datetime.fromisoformat(text).timestamp()


class Expectations:
    """Everything that may become of one delivery, given what has happened."""

    def __init__(self, situation: Situation, facts: Facts) -> None:
        self._s, self._facts = situation, facts
        self._headers: dict[str, Any] = situation.envelope.get("headers") or {}
        self._overrides: dict[str, str] = self._headers.get("x-asya-route-override") or {}
        key = (situation.pod, situation.id, hop_of(situation.envelope), situation.attempt)
        self._calls = facts.calls.get(key, [])

    def all(self) -> Iterator[Expected]:
        """Yield every permitted end, most specific first."""
        s, name = self._s, self._s.actor.name
        if s.body in self._facts.broken:
            yield self._broken(self._facts.broken[s.body])
            return
        if s.terminal:
            yield from self._at_terminal()
            return
        if s.curr != name and self._overrides.get(s.curr) != name:
            yield Expected(("wrong-actor",), send=self._sump("wrong-actor"))
            return
        if hop_of(s.envelope) > MAX_HOPS:
            yield Expected(("hop-limit",), send=self._sink("hop-limit", error="HopLimit"))
            return
        if not s.past_sink:
            yield from self._stopped()
        yield from self._after_calls()

    def children(self) -> Iterator[Message]:
        """Yield every result but the first of every call, as it may be sent on while the call runs."""
        for call in self._calls:
            for index in range(1, len(call.emitted)):
                if self._is_route(call.emitted[index][0].get("next", [])):
                    yield self._onward(call, index)

    def instead(self, message: Message) -> Iterator[tuple[str, Message]]:
        """Yield what may be sent to the sump in place of a message that could not be sent, and the row."""
        s = self._s
        if (s.pod, str(message.id)) in self._facts.too_large or (s.pod, s.id) in self._facts.too_large:
            row = "too-large"
            kept = self._message(SUMP, prev=s.prev, curr=s.curr, next_=s.next)
            kept = replace(kept, id=message.id, parent=message.parent)
            yield row, replace(kept, phase=table.phase(row), reason=table.reason(row), error=table.reason(row))
        if (s.pod, message.to) in self._facts.unroutable:
            row = "no-destination"
            yield row, replace(
                message, to=SUMP, hop=message.hop + 1, phase=table.phase(row), reason=table.reason(row),
                actor=s.actor.name, error=table.reason(row), attempt=ANY, partial=ANY, delay=(0.0, 0.0),
            )  # fmt: skip

    # -- before the call

    def _broken(self, row: str) -> Expected:
        s = self._s
        try:
            payload: Any = {"original": s.body.decode()}
        except UnicodeDecodeError:
            import base64

            payload = {"original_base64": base64.b64encode(s.body).decode()}
        if row == "no-id":
            return Expected((row,), send=self._sump(row, id=ANY, error="ParseError"))
        message = Message(
            to=SUMP, id=ANY, parent=None, prev=(), curr=s.actor.name, next=(), headers={}, hop=1, payload=payload,
            created_at=ANY, deadline_at=None, phase=table.phase(row), reason=table.reason(row), error="ParseError",
        )  # fmt: skip
        return Expected((row,), send=message)

    def _stopped(self) -> Iterator[Expected]:
        s = self._s
        answers = self._facts.preflights.get((s.pod, s.id), set())
        if "canceled" in answers:
            yield Expected(("canceled",), send=self._sink("canceled", prev=s.prev))
        if "paused" in answers:
            yield Expected(("paused",), send=replace(self._sink("paused", prev=s.prev), next=(s.curr, *s.next)))
        if s.deadline is not None and s.high >= s.deadline:
            yield Expected(("deadline-over",), send=self._sink("deadline-over", error="DeadlineExceeded"))

    # -- after it

    def _after_calls(self) -> Iterator[Expected]:
        s = self._s
        for call in self._calls:
            if call.end == "ok":
                yield from self._ended(call)
            elif call.end in ("error", "nan"):
                published = max(len(call.emitted) - 1, 0)
                cause = {"error": "handler-error", "nan": "unserialisable"}[call.end]
                yield from self._failed(call, call.failure, cause, published)
            yield from self._cut_short(call)
        if (s.pod, s.id) in self._facts.stopped:
            yield Expected(("canceled-in-call",), send=self._sink("canceled-in-call", prev=(*s.prev, s.curr)))
        if not self._calls:
            yield from self._cut_short(None)

    def _cut_short(self, call: CallFact | None) -> Iterator[Expected]:
        """A call that took too long or was cut off, or whose result's route was none; how much was heard of it is open.

        None is for a call that never came to the handler's process.
        """
        s = self._s
        elapsed = s.now - s.since
        late = elapsed >= s.actor.timeout - SLACK
        if s.deadline is not None and not late:
            # The time that was left is measured by a clock that does not jump.
            late = s.high + elapsed >= s.deadline - SLACK
        # The news of it takes a moment: a call may still be sent to a process that is dead already.
        crashed = self._facts.crashes.get(s.pod, -1.0) >= s.since - 0.1
        emitted = call.emitted if call is not None else []
        for count in range(max(len(emitted), 1)):
            if late:
                yield from self._failed(call, TIMEOUT, "call-timeout", count)
            if crashed:
                yield from self._failed(call, CRASHED, "runtime-crashed", count)
        wrong = [i for i, (changes, _) in enumerate(emitted) if not self._is_route(changes.get("next", []))]
        if wrong:  # result 0 is read when the call has ended, the others as they come
            later = [index for index in wrong if index]
            yield from self._failed(call, INVALID, "invalid-route", later[0] - 1 if later else len(emitted) - 1)

    def _ended(self, call: CallFact) -> Iterator[Expected]:
        s = self._s
        if not call.emitted:
            yield Expected(("nothing",), send=self._sink("nothing", prev=(*s.prev, s.curr)))
            return
        if any("next" in changes and not self._is_route(changes["next"]) for changes, _ in call.emitted):
            return
        children = tuple(self._onward(call, index) for index in range(1, len(call.emitted)))
        first = self._onward(call, 0)
        changes = call.emitted[0][0]
        if PAUSE in changes.get("headers", {}) and changes["headers"][PAUSE] != self._headers.get(PAUSE):
            yield Expected(("pause-asked",), children=children, final="paused")
        elif children:
            yield Expected(("fan-out",), send=first, children=children)
        else:
            yield Expected(("end-of-route" if first.curr == SINK and first.to == SINK else "result",), send=first)

    def _onward(self, call: CallFact, index: int) -> Message:
        s = self._s
        changes, payload = call.emitted[index]
        following = tuple(changes.get("next", s.next))
        headers = dict(changes.get("headers", self._headers))
        if index or headers.get(PAUSE) == self._headers.get(PAUSE):
            headers.pop(PAUSE, None)
        curr, rest = (following[0], following[1:]) if following else (SINK, ())
        row = "result" if following else "end-of-route"
        # For overrides, the headers that travel on decide.
        overrides = headers.get("x-asya-route-override") or {}
        target = overrides.get(curr, curr) if curr not in (SINK, SUMP) else curr
        status = s.envelope.get("status") or {}
        past = s.past_sink and bool(status)
        return replace(
            self._message(target, prev=(*s.prev, s.curr), curr=curr, next_=rest),
            id=child_id(s.id, s.actor.name, hop_of(s.envelope), index) if index else s.id,
            parent=s.id if index else s.envelope.get("parent_id"),
            payload=payload,
            headers=headers,
            phase=ANY if past else table.phase(row),
            reason=ANY if past else table.reason(row),
            actor=ANY if past else s.actor.name,
            attempt=ANY if past else 1,
            error=ANY if past else None,
            resolved={curr: target} if target != curr else {},
        )

    def _failed(self, call: CallFact | None, failure: dict[str, Any], cause: str, published: int) -> Iterator[Expected]:
        s = self._s
        rows = ((cause,) if cause != "handler-error" else ()) + (("stream-failed",) if published else ())
        children = tuple(self._onward(call, index) for index in range(1, published + 1)) if call else ()
        policy = self._policy(failure)
        attempt = s.attempt
        if attempt >= policy.max_attempts:
            yield from (replace(each, rows=(*each.rows, *rows), children=children) for each in
                        self._exhausted(policy, failure, cause, published, attempt))  # fmt: skip
            return
        low, high = self._delays(policy, failure, attempt)
        limits = [("Timeout", s.deadline, 0.0)] if s.deadline is not None else []
        if policy.max_duration is not None:
            stamp = self._headers.get("x-asya-first-attempt")
            if attempt > 1 and stamp is not None:
                limits.append(("PolicyExhausted", datetime.fromisoformat(stamp).timestamp() + policy.max_duration, 0.0))
            else:
                limits.append(("PolicyExhausted", policy.max_duration, 1.0))
        in_time = True
        for why, limit, relative in limits:
            earliest, latest = (low, high) if relative else (s.low + low, s.high + high)
            if latest >= limit - SLACK:
                yield from (
                    replace(each, rows=(*each.rows, *rows), children=children) for each in self._too_late(why, failure)
                )
            in_time = in_time and earliest < limit + SLACK
        if in_time:
            yield Expected(("handler-error", *rows), send=self._again(failure, attempt, (low, high)), children=children)

    def _exhausted(
        self, policy: Policy, failure: dict[str, Any], cause: str, published: int, attempt: int
    ) -> Iterator[Expected]:
        s = self._s
        error = failure["type"]
        if s.actor.name == SUMP:
            yield Expected(("sump-failed",), settle="dead-letter", final="" if s.past_sink else "*")
            return
        if s.actor.name == SINK:
            yield Expected(("sink-failed",), send=self._sump("exhausted", error=error))
            return
        prev = (*s.prev, s.curr)
        if policy.on_exhausted:
            first, *rest = policy.on_exhausted
            target = self._overrides.get(first, first)
            message = self._message(target, prev=prev, curr=first, next_=tuple(rest))
            row = "exhausted-route"
            told = {"phase": table.phase(row), "reason": table.reason(row), "attempt": 1, "error": error}
            yield Expected((row,), send=replace(message, **(self._outcome() if s.past_sink else told)))
        elif s.past_sink and s.envelope.get("status"):
            yield Expected(("exhausted",), send=replace(self._message(SINK, prev=prev, curr=SINK), **self._outcome()))
        else:
            reason = table.reason(cause) or table.reason("exhausted")
            message = self._sink("exhausted", error=error, prev=prev)
            yield Expected(
                ("exhausted",),
                send=replace(message, reason=reason, attempt=attempt, partial=published or None),
            )

    def _too_late(self, why: str, failure: dict[str, Any]) -> Iterator[Expected]:
        s = self._s
        row = "retry-too-late"
        if s.terminal:
            yield from self._exhausted(Policy(), failure, "", 0, s.attempt)
        elif s.past_sink and s.envelope.get("status"):
            back = self._message(SINK, prev=(*s.prev, s.curr), curr=SINK)
            yield Expected((row,), send=replace(back, **self._outcome()))
        else:
            message = self._sink(row, error=failure["type"], prev=(*s.prev, s.curr))
            yield Expected((row,), send=replace(message, reason=why, attempt=s.attempt))

    def _again(self, failure: dict[str, Any], attempt: int, delay: tuple[float, float]) -> Message:
        s = self._s
        message = self._message(s.actor.name, prev=s.prev, curr=s.curr, next_=s.next)
        message = replace(message, hop=hop_of(s.envelope), delay=delay)
        if s.terminal or s.past_sink:
            return replace(message, **self._outcome())
        return replace(
            message, phase=table.phase("handler-error"), actor=s.actor.name, attempt=attempt + 1, error=failure["type"]
        )

    # -- terminal actors

    def _at_terminal(self) -> Iterator[Expected]:
        s = self._s
        for call in self._calls:
            if call.end == "ok":
                final = "" if s.past_sink else "*"
                if s.actor.name == SUMP:
                    yield Expected(("sump-done", "terminal-actor"), final=final, store=True)
                elif call.emitted and not s.past_sink:
                    hooks = tuple(call.emitted[0][0].get("next", ()))
                    message = self._message(hooks[0], prev=(*s.prev, SINK), curr=hooks[0], next_=hooks[1:])
                    yield Expected(("sink-hooks-left", "terminal-actor"), send=message, final=final, store=True)
                else:
                    yield Expected(("sink-done", "terminal-actor"), final=final, store=True)
            elif call.end in ("error", "nan"):
                cause = {"error": "handler-error", "nan": "unserialisable"}[call.end]
                yield from self._failed(None, call.failure, cause, 0)

        yield from self._cut_short(None)

    # -- messages

    def _message(self, to: str, *, prev: tuple[str, ...], curr: str, next_: tuple[str, ...] = ()) -> Message:
        s = self._s
        status = s.envelope.get("status") or {}
        return Message(
            to=to, id=s.id, parent=s.envelope.get("parent_id"), prev=prev, curr=curr, next=next_,
            headers=self._headers, hop=hop_of(s.envelope) + 1, payload=s.envelope.get("payload"),
            created_at=status.get("created_at") or ANY, deadline_at=status.get("deadline_at"),
        )  # fmt: skip

    def _outcome(self) -> dict[str, Any]:
        """Return the fields of the status as they came: behind the sink they are the task's, whatever a hook does."""
        status = self._s.envelope.get("status") or {}
        found = {name: status[name] for name in ("phase", "reason", "actor", "attempt", "partial") if name in status}
        return {**found, "error": (status.get("error") or {}).get("type")} if status else {}

    def _sink(self, row: str, *, prev: tuple[str, ...] | None = None, error: str | None = None) -> Message:
        s = self._s
        message = self._message(SINK, prev=(*s.prev, s.curr) if prev is None else prev, curr=SINK)
        reason = table.reason(row)
        return replace(
            message, phase=table.phase(row), reason=ANY if reason is None else reason, actor=s.actor.name, error=error
        )

    def _sump(self, row: str, *, id: Any = None, error: Any = ANY) -> Message:  # noqa: A002
        s = self._s
        message = self._message(SUMP, prev=s.prev, curr=s.curr, next_=s.next)
        return replace(
            message, id=id or s.id, phase="failed", reason=table.reason(row), actor=s.actor.name, error=error
        )

    # -- policies

    def _policy(self, failure: dict[str, Any]) -> Policy:
        actor = self._s.actor
        names = (failure["type"], *failure.get("mro", ()))

        def listed(wanted: tuple[str, ...]) -> bool:
            return any(w == n if "." in w else w == n.rsplit(".", 1)[-1] for w in wanted for n in names)

        default = actor.policies.get("default")
        once = Policy(max_attempts=1, on_exhausted=default.on_exhausted if default else ())
        if failure.get("retryable") is False or listed(actor.non_retryable):
            return once
        for errors, policy in actor.rules:
            if listed(errors):
                return actor.policies[policy]
        if failure["type"] in ("ResultNotSerializable", "InvalidRoute"):
            return once
        if default is not None:
            return default
        return CRASH if failure["type"] == "RuntimeCrashed" else Policy(max_attempts=1)

    def _delays(self, policy: Policy, failure: dict[str, Any], attempt: int) -> tuple[float, float]:
        if failure.get("retry_after") is not None:
            return failure["retry_after"], failure["retry_after"]
        growth = {"constant": 1.0, "linear": float(attempt), "exponential": 2.0 ** (attempt - 1)}[policy.backoff]
        base = min(policy.initial_delay * growth, policy.max_interval)
        if not policy.jitter:
            return base, base
        return base * 0.5, min(base * 1.5, policy.max_interval)

    def _is_route(self, following: list[str]) -> bool:
        may_end = self._s.past_sink
        good = all(name.islower() and name.replace("-", "").isalnum() for name in following)
        return good and len(following) <= MAX_ROUTE and (may_end or not {SINK, SUMP} & set(following))


TIMEOUT: Final[dict[str, Any]] = {"type": "CallTimeout", "mro": ("TimeoutError", "OSError", "Exception")}
INVALID: Final[dict[str, Any]] = {"type": "InvalidRoute"}
CRASHED: Final[dict[str, Any]] = {"type": "RuntimeCrashed", "mro": ("Exception",)}


def child_id(parent: str, actor: str, hop: int, index: int) -> str:
    """Return the id that result `index` must have."""
    return str(uuid.uuid5(NAMESPACE, f"{parent}/{actor}/{hop}/{index}"))
