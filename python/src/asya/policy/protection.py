"""What protects a service from too many calls, and an actor from a service that is down: limits as plain values."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from asya.errors import PolicyError

CircuitState = Literal["closed", "half-open", "open"]

DEFAULT_FAILURES = 5
DEFAULT_MIN_CALLS = 20
DEFAULT_WINDOW = 60.0
DEFAULT_OPEN_FOR = 30.0
DEFAULT_MAX_OPEN_FOR = 300.0
DEFAULT_PROBES = 1

RATE_PATTERN = r"^([0-9]*[1-9][0-9]*(\.[0-9]+)?|[0-9]+\.[0-9]*[1-9][0-9]*)/(s|m|h)$"
"""More than nothing per second, minute or hour; without an exponent."""
RATE_LENGTH = 32
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class RateLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A token bucket: `rate` tokens per second, at most `burst` saved up."""

    rate: float
    burst: int = 1

    def shared(self, replicas: int) -> RateLimit:
        """Return one replica's part, so that `replicas` of them together keep to the rate."""
        return RateLimit(rate=self.rate / replicas, burst=max(self.burst // replicas, 1))


class CircuitBreaker(msgspec.Struct, frozen=True, kw_only=True):
    """When a circuit opens, for how long, and what closes it. Times in seconds.

    It opens after `failures` in a row within `window`, or, with `failure_ratio`, when at least `min_calls` ended within
    `window` and that share of them or more failed. `errors` names the classes that count; empty: all but those that
    are never tried again.
    """

    failures: int = DEFAULT_FAILURES
    failure_ratio: float | None = None
    min_calls: int = DEFAULT_MIN_CALLS
    window: float = DEFAULT_WINDOW
    open_for: float = DEFAULT_OPEN_FOR
    max_open_for: float = DEFAULT_MAX_OPEN_FOR
    probes: int = DEFAULT_PROBES
    errors: tuple[str, ...] = ()


class Protection(msgspec.Struct, frozen=True, kw_only=True):
    """Both for one target: the actor itself, or a destination."""

    rate_limit: RateLimit | None = None
    circuit_breaker: CircuitBreaker | None = None


def parse_rate(text: str) -> float:
    """Read a rate such as ``10/s``, ``90/m`` or ``0.5/h`` and return it per second.

    Raises:
        PolicyError: Not a number above 0 and one of the units s, m, h.
    """
    if re.fullmatch(RATE_PATTERN, text) is None or len(text) > RATE_LENGTH:
        raise PolicyError(f"{text!r} is not a rate; write for example 10/s, 90/m or 500/h")
    number, _, unit = text.partition("/")
    return float(number) / _UNITS[unit]


def format_rate(per_second: float) -> str:
    """Write a rate the way `parse_rate` reads it, without losing any of it."""
    for unit, seconds in _UNITS.items():
        number = per_second * seconds
        if number == round(number) and round(number) / seconds == per_second:
            return f"{round(number)}/{unit}"
    from decimal import Decimal  # noqa: PLC0415  whoever only reads rates does not need it

    return f"{Decimal(repr(per_second)):f}/s"
