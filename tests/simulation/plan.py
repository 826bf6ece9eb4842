"""What happens in a run, as data: a function of the seed, and small enough to take entries away from it."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

import msgspec

SINK, SUMP = "x-sink", "x-sump"
HOOK = "hook"


class Policy(msgspec.Struct, kw_only=True, frozen=True):
    """As `asya.policy.Policy`; the oracle reads this one."""

    max_attempts: int = 3
    backoff: str = "exponential"
    initial_delay: float = 0.5
    max_interval: float = 4.0
    max_duration: float | None = None
    jitter: bool = True
    on_exhausted: tuple[str, ...] = ()


class ActorPlan(msgspec.Struct, kw_only=True, frozen=True):
    """An actor: its handler's kind, how many pods, what its errors bring."""

    name: str
    kind: str = "sync"
    credit: int = 1
    workers: int = 1
    pods: int = 1
    timeout: float = 4.0
    prefetch: int | None = None
    policies: dict[str, Policy] = {}
    rules: tuple[tuple[tuple[str, ...], str], ...] = ()
    non_retryable: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()


class Call(msgspec.Struct, kw_only=True, frozen=True):
    """What a handler does with one call: `results` payloads, `pace` seconds before each, then `end`.

    `end`: ok, error, nan, hang, crash, kill-sidecar. `next` and `headers` are what it sets before result `at`.
    """

    results: int = 1
    pace: float = 0.01
    end: str = "ok"
    error: str = "ValueError"
    retry_after: float | None = None
    retryable: bool | None = None
    next: tuple[str, ...] | None = None
    headers: dict[str, Any] = {}
    at: int = 0
    size: int = 0


class MessagePlan(msgspec.Struct, kw_only=True, frozen=True):
    """A message from outside. `broken` names how its bytes are no envelope; `calls` is by actor, then by attempt."""

    number: int
    at: float
    route: tuple[str, ...]
    to: str = ""
    broken: str = ""
    deadline: float | None = None
    hop: int | None = None
    headers: dict[str, Any] = {}
    size: int = 0
    calls: dict[str, tuple[Call, ...]] = {}


class Fault(msgspec.Struct, kw_only=True, frozen=True):
    """Something that goes wrong at `at` with `target` (an actor's pod, a queue, a message), for `seconds`."""

    at: float
    kind: str
    target: str = ""
    seconds: float = 0.0
    count: int = 0


class Plan(msgspec.Struct, kw_only=True, frozen=True):
    """A whole run."""

    seed: int
    broker: str
    """`sqlite`: publish and settle in one transaction, leases; `rabbitmq`: two steps, no leases; `sqs`: two, leases."""
    receiver: bool
    message_bytes: int
    delivery_limit: int
    destination_wait: float
    drain_seconds: float
    actors: tuple[ActorPlan, ...]
    messages: tuple[MessagePlan, ...]
    faults: tuple[Fault, ...]

    def to_json(self) -> str:
        """Write it, for a report."""
        return json.dumps(msgspec.to_builtins(self), indent=1)


FAULTS = (
    ("kill-sidecar", 3), ("kill-runtime", 3), ("restart-sidecar", 3), ("runtime-stops", 1), ("cut", 4),
    ("half-open", 2), ("stall", 2), ("refuse", 3), ("lose-confirmations", 3), ("lose-settlement", 2),
    ("redeliver", 2), ("duplicate", 2), ("clock-jump", 2), ("cancel", 4), ("pause", 3), ("missing-queue", 3),
    ("missing-sump", 2), ("receiver-away", 1), ("slow-wire", 2), ("import-fails", 2),
)  # fmt: skip
ERRORS = ("ValueError", "TimeoutError", "app.Busy", "app.Wrong", "KeyError")
BROKEN = (
    "not-utf8",
    "not-json",
    "truncated",
    "list",
    "deep",
    "no-id",
    "empty-id",
    "bad-deadline",
    "bad-hop",
    "no-route",
)
HORIZON = 20.0
"""Messages and faults happen in this many seconds; then everything is healed and must become quiet."""


@dataclass
class _Maker:
    """Draws one plan."""

    seed: int
    chance: random.Random = field(init=False)
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.chance = random.Random(f"plan/{self.seed}")

    def often(self, share: float) -> bool:
        return self.chance.random() < share

    def plan(self) -> Plan:
        chance = self.chance
        self.names = ("a", "b", "c", "d")[: chance.randint(1, 4)]
        hooked = self.often(0.15)
        actors = [self.actor(name) for name in self.names]
        if hooked:
            actors.append(self.actor(HOOK))
        sink = self.actor(SINK, terminal=True)
        actors.append(replace_struct(sink, hooks=(HOOK,)) if hooked else sink)
        actors.append(self.actor(SUMP, terminal=True))
        messages = tuple(self.message(number) for number in range(chance.choice((1, 2, 4, 6, 8, 10))))
        faults = tuple(self.fault(actors, messages) for _ in range(chance.choice((0, 1, 2, 3, 4, 6))))
        return Plan(
            seed=self.seed,
            broker=chance.choice(("sqlite", "rabbitmq", "rabbitmq", "sqs")),
            receiver=self.often(0.6),
            message_bytes=chance.choice((4000, 100_000, 100_000)),
            delivery_limit=chance.choice((4, 20, 20)),
            destination_wait=chance.choice((2.0, 6.0)),
            drain_seconds=chance.choice((0.5, 3.0)),
            actors=tuple(actors),
            messages=messages,
            faults=faults,
        )

    def actor(self, name: str, *, terminal: bool = False) -> ActorPlan:
        chance = self.chance
        kind = chance.choice(("sync", "sync", "async"))
        policies: dict[str, Policy] = {}
        rules: list[tuple[tuple[str, ...], str]] = []
        if self.often(0.6):
            policies["default"] = self.policy(rescue=not terminal)
        if self.often(0.4):
            policies["other"] = self.policy(rescue=not terminal)
            rules.append(
                (
                    tuple(chance.sample(("Busy", "app.Wrong", "TimeoutError", "LookupError", "RuntimeCrashed"), 2)),
                    "other",
                )
            )
        return ActorPlan(
            name=name,
            kind=kind,
            credit=chance.choice((1, 1, 2)) if kind == "sync" else chance.choice((1, 4)),
            workers=chance.choice((1, 1, 2)),
            pods=1 if terminal else chance.choice((1, 1, 2)),
            timeout=chance.choice((1.0, 4.0)),
            prefetch=chance.choice((None, None, 5)),
            policies=policies,
            rules=tuple(rules),
            non_retryable=("KeyError",) if self.often(0.3) else (),
        )

    def policy(self, *, rescue: bool) -> Policy:
        chance = self.chance
        return Policy(
            max_attempts=chance.choice((1, 2, 3, 4)),
            backoff=chance.choice(("constant", "linear", "exponential")),
            initial_delay=chance.choice((0.0, 0.1, 1.0)),
            max_interval=chance.choice((0.5, 3.0)),
            max_duration=chance.choice((None, None, 2.0)),
            jitter=self.often(0.5),
            on_exhausted=(chance.choice(self.names), "a")[: chance.randint(1, 2)] if rescue and self.often(0.3) else (),
        )

    def message(self, number: int) -> MessagePlan:
        chance = self.chance
        route = tuple(chance.choice(self.names) for _ in range(chance.randint(1, 4)))
        headers: dict[str, Any] = {
            "traceparent": f"00-{number + 1:032x}-{number + 1:016x}-01",
            "mine": [number, 1.5, "ü"],
        }
        if self.often(0.06):
            headers["x-asya-route-override"] = {chance.choice(self.names): chance.choice(self.names)}
        if self.often(0.05):
            headers["x-asya-mesh-status"] = "off"
        if self.often(0.03):
            headers["x-asya-pause"] = {"old": True}
        calls = {
            name: tuple(self.call(terminal=False) for _ in range(chance.randint(1, 3)))
            for name in dict.fromkeys((*self.names, HOOK))
            if self.often(0.6)
        }
        for name in (SINK, SUMP):
            if self.often(0.08):
                calls[name] = tuple(self.call(terminal=True) for _ in range(chance.randint(1, 3)))
        return MessagePlan(
            number=number,
            at=round(chance.uniform(0.0, HORIZON * 0.7), 3),
            route=route,
            to=chance.choice(self.names) if self.often(0.03) else "",
            broken=chance.choice(BROKEN) if self.often(0.06) else "",
            deadline=chance.choice((-1.0, 0.0, 1.0, 3.0, 60.0)) if self.often(0.2) else None,
            hop=chance.choice((5, 1000, 1001)) if self.often(0.08) else None,
            headers=headers,
            size=chance.choice((3000, 3400)) if self.often(0.05) else 0,
            calls=calls,
        )

    def call(self, *, terminal: bool) -> Call:
        chance = self.chance
        end = chance.choices(
            ("ok", "error", "nan", "hang", "crash", "kill-sidecar"),
            (2, 6, 1, 2, 2, 0) if terminal else (10, 6, 1, 2, 2, 0.3),
        )[0]
        special = chance.random()
        wrong = chance.choice(((SINK,), (SUMP, "a"), ("No Name",), ("a",) * 1001, ("",)))
        fresh = tuple(chance.choice(self.names) for _ in range(chance.randint(0, 2)))
        return Call(
            results=0 if terminal else chance.choices((0, 1, 2, 3, 6), (1, 8, 1, 2, 1))[0],
            pace=chance.choice((0.0, 0.001, 0.02, 0.3)),
            end=end,
            error=chance.choice(ERRORS),
            retry_after=chance.choice((None, None, 0.0, 2.5)),
            retryable=chance.choice((None, None, None, False, True)),
            next=wrong if special < 0.05 else fresh if special < 0.15 else None,
            headers={"x-asya-pause": {"ask": 1}} if 0.15 < special < 0.2 else {"set": 1} if special > 0.95 else {},
            at=chance.choice((0, 0, 1)),
            size=chance.choice((3500, 5000)) if self.often(0.06) else 0,
        )

    def fault(self, actors: list[ActorPlan], messages: tuple[MessagePlan, ...]) -> Fault:
        chance = self.chance
        kinds, weights = zip(*FAULTS, strict=True)
        kind = chance.choices(kinds, weights)[0]
        actor = chance.choice(actors)
        target = f"{actor.name}/{chance.randrange(actor.pods)}"
        at = chance.uniform(0.0, HORIZON * 0.8)
        if kind in ("redeliver", "duplicate", "missing-queue"):
            target = actor.name
        elif kind in ("cancel", "pause"):
            message = chance.choice(messages)
            target, at = str(message.number), max(0.0, message.at + chance.uniform(-0.5, 1.5))
        return Fault(
            at=round(at, 3),
            kind=kind,
            target=target,
            seconds=chance.choice((-3600.0, -5.0, 5.0, 3600.0))
            if kind == "clock-jump"
            else chance.choice((0.05, 1.0, 3.0, 8.0)),
            count=chance.randint(1, 4),
        )


def replace_struct(struct: Any, **changes: Any) -> Any:
    """Return a changed copy."""
    return msgspec.structs.replace(struct, **changes)


def make_plan(seed: int) -> Plan:
    """Return the plan of a seed: always the same one."""
    return _Maker(seed).plan()
