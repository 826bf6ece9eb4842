"""`spec.resiliency`: rate limits and circuit breakers, of the actor itself and of those it sends to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from asya.api.fields import ClassName, Model, PositiveDuration, Rate
from asya.policy import CircuitBreaker, Protection, RateLimit, format_duration, parse_duration
from asya.policy.protection import (
    DEFAULT_FAILURES,
    DEFAULT_MAX_OPEN_FOR,
    DEFAULT_MIN_CALLS,
    DEFAULT_OPEN_FOR,
    DEFAULT_PROBES,
    DEFAULT_WINDOW,
    parse_rate,
)


class RateLimitSpec(Model):
    """A token bucket."""

    rate: Rate
    """How many may begin, on average: a number per second, minute or hour."""
    burst: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """How many may begin at once when there were fewer before."""
    scope: Literal["replica", "actor"] = "replica"
    """Whom the rate is for: `replica` is each pod, so that all of them make `maxReplicaCount` times as many at most;
    `actor` is all together: each pod gets an equal part as if all of `maxReplicaCount` ran, also while fewer do."""

    def limit(self, replicas: int) -> RateLimit:
        """Return what one sidecar keeps to, where there are `replicas` of them at most."""
        limit = RateLimit(rate=parse_rate(self.rate), burst=self.burst)
        return limit if self.scope == "replica" else limit.shared(replicas)


class DestinationBreakerSpec(Model):
    """When nothing is sent for a while, because it would fail."""

    failures: Annotated[int, Field(ge=1, le=10_000)] = DEFAULT_FAILURES
    """Failures in a row, all within `window`, that open the circuit."""
    failure_ratio: Annotated[float, Field(ge=0.01, le=1)] | None = None
    """Share of failures among all that ended within `window` that opens it too. When absent, only those in a row do."""
    min_calls: Annotated[int, Field(ge=1)] = DEFAULT_MIN_CALLS
    """How many must have ended within `window` before `failureRatio` counts."""
    window: PositiveDuration = format_duration(DEFAULT_WINDOW)
    """How long an end counts."""
    open_for: PositiveDuration = format_duration(DEFAULT_OPEN_FOR)
    """How long it is open before it is tried again, up to 20 % less; twice as long each time that it opens anew."""
    max_open_for: PositiveDuration = format_duration(DEFAULT_MAX_OPEN_FOR)
    """Longest time that it is open before it is tried again."""
    probes: Annotated[int, Field(ge=1, le=1000)] = DEFAULT_PROBES
    """How many are tried then, no more at once; the circuit closes when all of them succeed, and one failure opens
    it."""

    def breaker(self, errors: tuple[str, ...] = ()) -> CircuitBreaker:
        """Return what the sidecar works with; times in seconds."""
        return CircuitBreaker(
            failures=self.failures,
            failure_ratio=self.failure_ratio,
            min_calls=self.min_calls,
            window=parse_duration(self.window),
            open_for=parse_duration(self.open_for),
            max_open_for=parse_duration(self.max_open_for),
            probes=self.probes,
            errors=errors,
        )


class CircuitBreakerSpec(DestinationBreakerSpec):
    """When the handler is not called for a while, because it would fail."""

    errors: list[ClassName] = []
    """Exception classes that count as failures, base classes included. When empty, all count but those that are never
    tried again. What does not count is no success either."""


class DestinationSpec(Model):
    """Protection of one actor that this one sends to."""

    rate_limit: RateLimitSpec | None = None
    """How many messages it is sent. When absent, as many as there are."""
    circuit_breaker: DestinationBreakerSpec | None = None
    """When it is sent nothing for a while, because its queue refuses or is missing. When absent, each message is tried
    for itself."""

    def protection(self, replicas: int) -> Protection:
        """Return what the sidecar works with, where there are `replicas` of them at most."""
        return Protection(
            rate_limit=None if self.rate_limit is None else self.rate_limit.limit(replicas),
            circuit_breaker=None if self.circuit_breaker is None else self.circuit_breaker.breaker(),
        )
