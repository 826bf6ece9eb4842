"""What is said beside a dead letter: by us in headers of our own, by RabbitMQ in `x-death`. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

REASON: Final = "x-asya-reason"
ATTEMPTS: Final = "x-asya-attempts"
DEAD_AT: Final = "x-asya-dead-at"
"""Milliseconds since 1970, by our clock."""
_DEATHS: Final = "x-death"
_RETURNS: Final = "x-delivery-count"
"""In a dead-letter queue: how often the dead letter itself was looked at."""


class Death(NamedTuple):
    """See `base.DeadLetter`."""

    reason: str | None
    attempts: int | None
    since: float | None
    tags: dict[str, str]


def written(reason: str, attempts: int) -> dict[str, Any]:
    """Return the headers of a message that we dead-letter."""
    return {REASON: reason, ATTEMPTS: attempts, DEAD_AT: int(time.time() * 1000)}


def read(headers: Mapping[str, Any], delivery_limit: int | None) -> Death:
    """Return what the headers say.

    RabbitMQ does not tell how often it had delivered what it dead-letters by itself; `delivery_limit`, where it is
    known, does: it counts returns, and the delivery that came back last is one more.
    """
    tags = {name: str(value) for name, value in headers.items() if name not in (REASON, ATTEMPTS, DEAD_AT, _RETURNS)}
    if REASON in headers:
        at = _whole(headers.get(DEAD_AT))
        attempts = _whole(headers.get(ATTEMPTS))
        return Death(str(headers[REASON]) or None, attempts, None if at is None else at / 1000, tags)
    deaths = headers.get(_DEATHS)
    if not isinstance(deaths, list) or not deaths or not isinstance(deaths[0], Mapping):
        return Death(None, None, None, tags)
    last = deaths[0]
    reason, at = str(last.get("reason", "")).replace("_", "-"), last.get("time")
    attempts = delivery_limit + 1 if reason == "delivery-limit" and delivery_limit is not None else None
    return Death(reason or None, attempts, at.timestamp() if isinstance(at, datetime) else None, tags)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None
