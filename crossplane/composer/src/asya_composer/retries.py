"""How long a message can wait in all for its retries by one actor: a bound, without simulating anything."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from asya.policy import Policy, Resiliency
from asya.policy.resiliency import LONGEST_DELAY

_CRASHED = Policy()
"""What an actor without a policy of its own does when its runtime dies."""
_COUNTED = 64
"""Attempts whose delays are added one by one; those after them count as long as the last."""


def longest_waits(resiliency: Resiliency) -> float:
    """Return for how many seconds, at most, one message waits for all its retries together.

    A delay that the handler itself asks for (`retry_after`) is not known here.
    """
    policies: Iterable[Policy] = (*resiliency.policies.values(), _CRASHED)
    return min(max(_waits(each) for each in policies), LONGEST_DELAY)


def _waits(policy: Policy) -> float:
    retries = policy.max_attempts - 1
    if retries < 1:
        return 0.0
    counted = sum(_longest(policy, attempt) for attempt in range(1, min(retries, _COUNTED) + 1))
    waits = counted + max(retries - _COUNTED, 0) * _longest(policy, retries)
    return waits if policy.max_duration is None else min(waits, policy.max_duration)


def _longest(policy: Policy, attempt: int) -> float:
    """Return the delay after an attempt where jitter makes it as long as it can be: by half, and to the cap at most."""
    base = msgspec.structs.replace(policy, jitter=False).delay(attempt, salt=b"")
    return min(base * 1.5, policy.max_interval) if policy.jitter else base
