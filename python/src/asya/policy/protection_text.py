"""Rate limits and circuit breakers as JSON text, in the manifest's spelling, as the sidecar's environment has them."""

from __future__ import annotations

import msgspec

from asya.errors import PolicyError
from asya.policy.durations import format_duration, parse_duration
from asya.policy.protection import (
    DEFAULT_FAILURES,
    DEFAULT_MAX_OPEN_FOR,
    DEFAULT_MIN_CALLS,
    DEFAULT_OPEN_FOR,
    DEFAULT_PROBES,
    DEFAULT_WINDOW,
    CircuitBreaker,
    Protection,
    RateLimit,
    format_rate,
    parse_rate,
)


class _RateText(msgspec.Struct, forbid_unknown_fields=True):
    rate: str
    burst: int = 1


class _BreakerText(msgspec.Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    failures: int = DEFAULT_FAILURES
    failure_ratio: float | None = None
    min_calls: int = DEFAULT_MIN_CALLS
    window: str = format_duration(DEFAULT_WINDOW)
    open_for: str = format_duration(DEFAULT_OPEN_FOR)
    max_open_for: str = format_duration(DEFAULT_MAX_OPEN_FOR)
    probes: int = DEFAULT_PROBES
    errors: list[str] = []


class _ProtectionText(msgspec.Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    rate_limit: _RateText | None = None
    circuit_breaker: _BreakerText | None = None


def protection_to_json(protection: Protection) -> str:
    """Write the text of `ASYA_RESILIENCY_PROTECTION`."""
    return msgspec.json.encode(_protection_to_text(protection)).decode()


def protection_from_json(text: str) -> Protection:
    """Read the text of `ASYA_RESILIENCY_PROTECTION`.

    Raises:
        PolicyError: Not a JSON object with a rate limit and a circuit breaker; the message names the place.
    """
    try:
        return _protection_from_text("it", msgspec.json.decode(text.encode(), type=_ProtectionText))
    except msgspec.MsgspecError as error:
        raise PolicyError(str(error)) from None


def destinations_to_json(destinations: dict[str, Protection]) -> str:
    """Write the text of `ASYA_RESILIENCY_DESTINATIONS`."""
    return msgspec.json.encode({name: _protection_to_text(each) for name, each in destinations.items()}).decode()


def destinations_from_json(text: str) -> dict[str, Protection]:
    """Read the text of `ASYA_RESILIENCY_DESTINATIONS`.

    Raises:
        PolicyError: Not a JSON object of such objects by actor; the message names the place.
    """
    try:
        found = msgspec.json.decode(text.encode(), type=dict[str, _ProtectionText])
    except msgspec.MsgspecError as error:
        raise PolicyError(str(error)) from None
    return {name: _protection_from_text(repr(name), each) for name, each in found.items()}


def _protection_to_text(protection: Protection) -> _ProtectionText:
    limit, breaker = protection.rate_limit, protection.circuit_breaker
    return _ProtectionText(
        rate_limit=None if limit is None else _RateText(format_rate(limit.rate), limit.burst),
        circuit_breaker=None
        if breaker is None
        else _BreakerText(
            failures=breaker.failures,
            failure_ratio=breaker.failure_ratio,
            min_calls=breaker.min_calls,
            window=format_duration(breaker.window),
            open_for=format_duration(breaker.open_for),
            max_open_for=format_duration(breaker.max_open_for),
            probes=breaker.probes,
            errors=list(breaker.errors),
        ),
    )


def _protection_from_text(what: str, text: _ProtectionText) -> Protection:
    limit, breaker = text.rate_limit, text.circuit_breaker
    if limit is not None and limit.burst < 1:
        raise PolicyError(f"rateLimit.burst of {what} is {limit.burst}, expected at least 1")
    return Protection(
        rate_limit=None if limit is None else RateLimit(rate=parse_rate(limit.rate), burst=limit.burst),
        circuit_breaker=None if breaker is None else _breaker_from_text(what, breaker),
    )


def _breaker_from_text(what: str, text: _BreakerText) -> CircuitBreaker:
    breaker = CircuitBreaker(
        failures=text.failures,
        failure_ratio=text.failure_ratio,
        min_calls=text.min_calls,
        window=parse_duration(text.window),
        open_for=parse_duration(text.open_for),
        max_open_for=parse_duration(text.max_open_for),
        probes=text.probes,
        errors=tuple(text.errors),
    )
    bounds = (
        ("failures", breaker.failures, 1),
        ("minCalls", breaker.min_calls, 1),
        ("probes", breaker.probes, 1),
        ("window", breaker.window, 0.001),
        ("openFor", breaker.open_for, 0.001),
        ("maxOpenFor", breaker.max_open_for, breaker.open_for),
    )
    for name, value, least in bounds:
        if value < least:
            raise PolicyError(f"circuitBreaker.{name} of {what} is {value:g}, expected at least {least:g}")
    if breaker.failure_ratio is not None and not 0 < breaker.failure_ratio <= 1:
        raise PolicyError(f"circuitBreaker.failureRatio of {what} is {breaker.failure_ratio:g}, expected 0 to 1")
    return breaker
