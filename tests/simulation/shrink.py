"""Makes a failing plan small: takes entries away for as long as it still fails (delta debugging)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from tests.simulation.plan import SINK, SUMP, Plan

Fails = Callable[[Plan], bool]


def shrink(plan: Plan, fails: Fails, *, most_runs: int = 300) -> Plan:
    """Return a plan that fails too and has as few faults, messages, calls and actors as can be found."""
    runs = 0

    def still_fails(candidate: Plan) -> bool:
        nonlocal runs
        runs += 1
        return runs <= most_runs and fails(candidate)

    while True:
        before = plan
        for field in ("faults", "messages", "actors"):
            plan = _fewer(plan, field, still_fails)
        for candidate in _simpler(plan):
            if candidate != plan and still_fails(candidate):
                plan = candidate
                break
        if plan == before or runs >= most_runs:
            return plan


def _fewer(plan: Plan, field: str, fails: Fails) -> Plan:
    """Take away halves, then quarters, … then single entries."""
    size = max(len(getattr(plan, field)) // 2, 1)
    while True:
        at = 0
        while at < len(getattr(plan, field)):
            entries: Sequence[Any] = getattr(plan, field)
            kept = [*entries[:at], *(e for e in entries[at : at + size] if _needed(plan, e)), *entries[at + size :]]
            candidate = msgspec.structs.replace(plan, **{field: tuple(kept)})
            if len(kept) < len(entries) and fails(candidate):
                plan = candidate
            else:
                at += size
        if size == 1:
            return plan
        size //= 2


def _needed(plan: Plan, entry: Any) -> bool:
    """Tell whether a plan without this entry would be another kind of failure: no queue to send to."""
    name = getattr(entry, "name", None)
    if name is None:
        return False
    rescues = {to for actor in plan.actors for policy in actor.policies.values() for to in policy.on_exhausted}
    routes = {to for message in plan.messages for to in (*message.route, message.to)}
    fresh = {to for m in plan.messages for calls in m.calls.values() for call in calls for to in call.next or ()}
    hooks = {to for actor in plan.actors for to in actor.hooks}
    return name in (SINK, SUMP) or name in rescues | routes | fresh | hooks


def _simpler(plan: Plan) -> Iterator[Plan]:
    """Yield plans with one thing made plainer."""
    replace = msgspec.structs.replace
    for index, message in enumerate(plan.messages):
        options = [replace(message, calls={})] if message.calls else []
        options += [
            replace(message, calls={n: c for n, c in message.calls.items() if n != name}) for name in message.calls
        ]
        options += [replace(message, route=message.route[:1])] if len(message.route) > 1 else []
        options += [replace(message, headers={}), replace(message, deadline=None), replace(message, hop=None)]
        for option in options:
            yield replace(plan, messages=(*plan.messages[:index], option, *plan.messages[index + 1 :]))
    for index, actor in enumerate(plan.actors):
        options_ = [
            replace(actor, pods=1),
            replace(actor, workers=1),
            replace(actor, credit=1),
            replace(actor, prefetch=None),
        ]
        options_ += [replace(actor, rules=(), policies={}), replace(actor, non_retryable=())]
        for changed in options_:
            yield replace(plan, actors=(*plan.actors[:index], changed, *plan.actors[index + 1 :]))
    yield replace(plan, receiver=False)
