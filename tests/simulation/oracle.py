"""Judges each settlement at the moment it is asked for and again when the broker carries it out."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.simulation.expected import Expectations, Expected, Message, Situation
from tests.simulation.facts import Facts, read
from tests.simulation.plan import SUMP, ActorPlan

from asya.errors import (
    ConnectionLostError,
    LeaseLostError,
    NoDestinationError,
    RefusedError,
    TooLargeError,
    TransportError,
)
from asya.transports import Delivery, Outgoing, Settle
from asya.transports.memory.broker import Lease

if TYPE_CHECKING:
    from tests.simulation.eventloop import SimulationLoop
    from tests.simulation.virtual import WallClock


@dataclass(eq=False)
class Arrived:
    """A message that the broker has taken; `confirmed` is the step at which its sender learned so."""

    to: str
    body: bytes
    envelope: dict[str, Any]
    delay: float
    confirmed: int | None = None


@dataclass(eq=False)
class Held:
    """A delivery in a sidecar's hands."""

    pod: PodView
    delivery: Delivery
    at: float
    envelope: dict[str, Any]
    asked: Asked | None = None
    answered: bool = False
    open: bool = False
    """A settlement is on its way."""
    refused: bool = False
    sump_missing: bool = False


@dataclass(frozen=True)
class Asked:
    """A settlement that the table permits, and what must be at the broker before it.

    `ways` are the rows that may have led there, each with the results that must have been sent on.
    """

    ways: tuple[tuple[tuple[str, ...], tuple[Message, ...]], ...]
    settle: Settle
    needs: tuple[tuple[str, bytes], ...]

    def __str__(self) -> str:
        return " or ".join("/".join(rows) for rows, _ in self.ways)


@dataclass
class PodView:
    """What the oracle must know of a sidecar's process."""

    name: str
    actor: ActorPlan
    draining: bool = False
    dead: bool = False
    reports: bool = False
    runtime_missed: float = 0.0
    """Loop time at which a runtime was last seen missing."""


@dataclass
class Oracle:
    """See the module. `violations` is empty as long as everything is as it should be."""

    loop: SimulationLoop
    wall: WallClock
    facts: Facts
    note: Callable[..., None]
    stop: Callable[[], None]
    descends: Callable[[dict[str, Any]], None]
    violations: list[str] = field(default_factory=list)
    ends: dict[str, list[str]] = field(default_factory=dict)
    """By envelope id: where it came to an end."""
    seen: dict[str, str] = field(default_factory=dict)
    """Every id that has been in a queue, and the queue."""
    settled: int = 0
    _held: dict[Lease, Held] = field(default_factory=dict)
    _of_id: dict[tuple[str, str], list[Held]] = field(default_factory=dict)
    _arrived: dict[tuple[str, bytes], list[Arrived]] = field(default_factory=dict)
    _by_id: dict[str, list[Arrived]] = field(default_factory=dict)
    _sent: int = 0
    _work: list[Arrived] = field(default_factory=list)

    def violation(self, text: str) -> None:
        """Note that the table was broken; the run ends."""
        self.violations.append(f"at {self.loop.time():.3f}: {text}")
        self.note("oracle", "VIOLATION: %s", text)
        self.stop()

    def guarded(self, judge: Callable[..., None], *args: Any) -> None:
        """Judge; an error of the oracle's own must not look like one of the sidecar's, which would catch it."""
        try:
            judge(*args)
        except Exception:  # noqa: BLE001  whatever it is
            self.violation(f"the oracle itself failed: {traceback.format_exc()}")

    # -- what the sidecar is given and asks for

    def delivered(self, pod: PodView, delivery: Delivery) -> None:
        """A sidecar has a delivery in its hands."""
        try:
            envelope = read(delivery.body)
        except (ValueError, AssertionError, RecursionError):
            envelope = {"id": "", "route": {"curr": ""}}
        held = Held(pod, delivery, self.loop.time(), envelope)
        self._held[delivery.token] = held
        self._of_id.setdefault((pod.name, str(envelope.get("id", ""))), []).append(held)
        self.note(pod.name, "receives %s (delivery %d)", envelope.get("id"), delivery.attempts)

    def publishes(self, pod: PodView, messages: Sequence[Outgoing]) -> None:
        """A sidecar publishes without settling: only results of a running call go this way."""
        for message in messages:
            sent = read(message.body)
            problems = []
            parents = [sent.get("parent_id"), sent.get("id")]
            for held in [held for parent in parents for held in self._of_id.get((pod.name, str(parent)), ())]:
                expectations = self._expectations(held)
                for expected in expectations.children():
                    problem, _ = self._compare(expectations, expected, message, sent)
                    if not problem:
                        self.note(pod.name, "publishes %s to %s", sent["id"], message.actor)
                        return
                    problems.append(problem)
            self.violation(
                f"{pod.name} publishes {sent.get('id')} to {message.actor}, which no result is: {problems or 'no call'}"
            )

    def asks(self, pod: PodView, delivery: Delivery, messages: Sequence[Outgoing], settle: Settle) -> None:
        """A sidecar asks for a settlement."""
        held = self._held.get(delivery.token)
        if held is None:
            self.violation(f"{pod.name} settles what it was never given")
            return
        name = held.envelope.get("id")
        if held.answered or held.open:
            self.violation(f"{pod.name} settles {name} twice")
            return
        held.open = True
        if settle is Settle.RELEASE:
            rows = self._release_rows(held)
            if not rows:
                self.violation(f"{pod.name} releases {name} without a reason")
            held.asked = Asked(((rows, ()),), settle, ())
        else:
            held.asked = self._judge(held, messages, settle)
        if held.asked is not None:
            self.note(pod.name, "asks %s of %s: %s → %s", settle.value, name, held.asked, [m.actor for m in messages])

    def told(self, delivery: Delivery, problem: BaseException | None) -> None:
        """The answer to `asks` has come."""
        held = self._held[delivery.token]
        held.open = False
        if problem is None:
            held.answered = True
            return
        self.note(held.pod.name, "is told %s about %s", type(problem).__name__, held.envelope.get("id"))
        if isinstance(problem, LeaseLostError):
            held.answered = True  # over for it; a second try would be in vain
        elif isinstance(problem, (RefusedError, ConnectionLostError)):
            held.refused = True
            held.asked = None if isinstance(problem, RefusedError) else held.asked
        self._failed(held.pod, held.envelope.get("id"), problem)
        if isinstance(problem, NoDestinationError) and problem.actor == SUMP:
            held.sump_missing = True

    def publish_failed(self, pod: PodView, message: Outgoing, problem: BaseException) -> None:
        """A publish without settlement came to nothing."""
        self._failed(pod, read(message.body).get("id"), problem)

    def _failed(self, pod: PodView, name: Any, problem: BaseException) -> None:
        """Remember what a publish came to nothing by."""
        if isinstance(problem, TooLargeError):
            self.facts.too_large.add((pod.name, str(name)))
        elif isinstance(problem, NoDestinationError):
            self.facts.unroutable.add((pod.name, problem.actor))
        elif not isinstance(problem, (TransportError, asyncio.CancelledError)):
            self.violation(f"{pod.name} was told {problem!r}, which is no transport's error")

    # -- what the broker does

    def begin(self, sent: int) -> None:
        """See `fake_network.Watcher`."""
        self._sent, self._work = sent, []

    def end(self) -> object:
        """See `fake_network.Watcher`."""
        work, self._work = self._work, []
        return work

    def answered(self, work: object) -> None:
        """See `fake_network.Watcher`."""
        assert isinstance(work, list)
        for arrived in work:
            arrived.confirmed = self.loop.steps

    def arrives(self, to: str, body: bytes, delay: float) -> None:
        """The broker takes a message into a queue."""
        try:
            envelope = read(body)
        except (ValueError, AssertionError, RecursionError):
            return
        arrived = Arrived(to, body, envelope, delay)
        self._work.append(arrived)
        self._arrived.setdefault((to, body), []).append(arrived)
        name = str(envelope.get("id", ""))
        self._by_id.setdefault(name, []).append(arrived)
        if name and body not in self.facts.broken:
            self.seen[name] = to
        self.descends(envelope)
        self.note(
            "broker",
            "takes %s for %s, delay %.3f, phase %s",
            name,
            to,
            delay,
            (envelope.get("status") or {}).get("phase"),
        )

    def settles(self, lease: Lease, settle: Settle) -> None:
        """The broker settles a delivery: what replaces it must be there, and its sender must have known."""
        held = self._held.get(lease)
        self.settled += 1
        if held is None or (held.asked is None and settle is Settle.RELEASE):
            if settle is not Settle.RELEASE:
                self.violation("the broker settles what nobody was given")
            return
        name, asked = held.envelope.get("id"), held.asked
        self.note("broker", "settles %s of %s: %s", name, held.pod.name, settle.value)
        if asked is None or (asked.settle is not settle and settle is not Settle.RELEASE):
            self.violation(f"the broker settles {name} of {held.pod.name} with {settle}, which was not asked for")
            return
        for to, body in asked.needs:
            if not any(self._is_known(arrived) for arrived in self._arrived.get((to, body), ())):
                self.violation(f"{name} is settled before its replacement at {to} is confirmed ({asked})")
        self._count(held, asked.settle, self._check_children(held, asked), lease)

    def dead(self, lease: Lease) -> None:
        """The broker's own limit has put a message aside."""
        self.facts.met("delivery-limit")
        held = self._held.get(lease)
        name = str(held.envelope.get("id", "")) if held is not None else ""
        for key in [name] if name else self._names(lease.message.body):
            self.ends.setdefault(key, []).append("delivery-limit")
        self.note("broker", "puts %s aside at the delivery limit", name)

    # -- inside

    def _names(self, body: bytes) -> list[str]:
        try:
            return [str(read(body).get("id", ""))]
        except (ValueError, AssertionError, RecursionError):
            return []

    def _situation(self, held: Held) -> Situation:
        return Situation(
            pod=held.pod.name,
            actor=held.pod.actor,
            body=held.delivery.body,
            envelope=held.envelope,
            since=held.at,
            now=self.loop.time(),
            low=self.wall.lowest_since(held.at),
            high=self.wall.highest_since(held.at),
        )

    def _expectations(self, held: Held) -> Expectations:
        return Expectations(self._situation(held), self.facts)

    def _release_rows(self, held: Held) -> tuple[str, ...]:
        if held.pod.draining:
            return ("sigterm",)
        if held.pod.runtime_missed >= held.at:
            return ("runtime-away",)
        return ()

    def _judge(self, held: Held, messages: Sequence[Outgoing], settle: Settle) -> Asked | None:
        sent = [(message, read(message.body)) for message in messages]
        expectations, problems = self._expectations(held), []
        ways = []
        for expected in expectations.all():
            problem, rows = self._matches(expectations, expected, sent, settle)
            problem = problem or self._unready(held, expected)
            if problem:
                problems.append(f"{'/'.join(expected.rows)}: {problem}")
            else:
                ways.append(((*expected.rows, *rows), expected.children))
        if settle is Settle.DEAD_LETTER and any(pod == held.pod.name for pod, _ in self.facts.too_large):
            ways.append((("too-large",), ()))
        if ways:
            return Asked(tuple(ways), settle, tuple((message.actor, message.body) for message in messages))
        name = held.envelope.get("id")
        told = [(message.actor, envelope.get("status"), envelope["route"]) for message, envelope in sent]
        self.violation(
            f"{held.pod.name} settles {name} ({settle.value}) with {told!r:.900}; no row permits that: "
            + ("; ".join(problems) or "nothing has happened that ends it")
        )
        return None

    def _matches(
        self,
        expectations: Expectations,
        expected: Expected,
        sent: list[tuple[Outgoing, dict[str, Any]]],
        settle: Settle,
    ) -> tuple[str, tuple[str, ...]]:
        if expected.settle != settle.value:
            return f"is settled with {expected.settle}", ()
        if expected.send is None:
            return ("sends nothing" if sent else ""), ()
        if len(sent) != 1:
            return f"sends one message, not {len(sent)}", ()
        return self._compare(expectations, expected.send, *sent[0])

    def _compare(
        self, expectations: Expectations, expected: Message, message: Outgoing, sent: dict[str, Any]
    ) -> tuple[str, tuple[str, ...]]:
        problem = expected.difference(message.actor, sent, message.delay)
        if not problem:
            return "", ()
        for row, instead in expectations.instead(expected):
            other = instead.difference(message.actor, sent, message.delay)
            if not other:
                return "", (row,)
            problem += f" (or {row}: {other})"
        return problem, ()

    def _unready(self, held: Held, expected: Expected) -> str:
        """Say what a row asks for beside messages and has not come about."""
        name = str(held.envelope.get("id", ""))
        if expected.store and (held.pod.actor.name, name) not in self.facts.stored:
            return "the crew has not stored it"
        off = (held.envelope.get("headers") or {}).get("x-asya-mesh-status") == "off"
        if expected.final and held.pod.reports and not off:
            wanted = {"succeeded", "failed", "canceled", "paused"} if expected.final == "*" else {expected.final}
            if not any((held.pod.name, name, status) in self.facts.acknowledged for status in wanted):
                return "its final report is not acknowledged"
        return ""

    def _is_known(self, arrived: Arrived) -> bool:
        """Tell whether it came in this very transaction, or its sender knew of it when it asked for the settlement."""
        return arrived in self._work or (arrived.confirmed is not None and arrived.confirmed <= self._sent)

    def _check_children(self, held: Held, asked: Asked) -> tuple[str, ...]:
        """Return the rows of a way whose results have all arrived; a violation when there is none."""
        expectations = self._expectations(held)
        lost: Message | None = None
        for rows, children in asked.ways:
            missing = next((child for child in children if not self._has_arrived(expectations, child)), None)
            if missing is None:
                return rows
            lost = lost or missing
        if lost is not None:
            self.violation(f"{held.envelope.get('id')} is settled, but its result {lost.id} for {lost.to} was lost")
        return ()

    def _has_arrived(self, expectations: Expectations, child: Message) -> bool:
        for arrived in self._by_id.get(str(child.id), ()):
            message = Outgoing(arrived.to, arrived.body, arrived.delay)
            problem, rows = self._compare(expectations, child, message, arrived.envelope)
            if not problem and self._is_known(arrived):
                for row in rows:
                    self.facts.met(row)
                return True
        return False

    def _count(self, held: Held, settle: Settle, rows: tuple[str, ...], lease: Lease) -> None:
        for row in rows:
            self.facts.met(row)
        if settle is Settle.ACK:
            if held.refused:
                self.facts.met("broker-refuses")
            if held.sump_missing:
                self.facts.met("sink-away")
            if lease.message.attempts > 1:
                self.facts.met("redelivered")
        if settle is Settle.DEAD_LETTER or {"sink-done", "sump-done", "pause-asked"} & set(rows):
            self.ends.setdefault(str(held.envelope.get("id", "")), []).append(rows[0] if rows else "?")
