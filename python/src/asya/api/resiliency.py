"""`spec.resiliency`: how long a call may take, and what happens when it fails."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from asya.api.fields import MAX_LIST, ClassName, Duration, Label, Model, PolicyName, PositiveDuration
from asya.api.protection import CircuitBreakerSpec, DestinationSpec, RateLimitSpec
from asya.policy import Backoff, Policy, Protection, Resiliency, Rule, format_duration, parse_duration
from asya.policy.resiliency import (
    DEFAULT_ACTOR_TIMEOUT,
    DEFAULT_FIRST_DELAY,
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_MAX_INTERVAL,
)


class PolicySpec(Model):
    """One named retry policy."""

    max_attempts: Annotated[int, Field(ge=1)] = DEFAULT_MAX_ATTEMPTS
    """How many times the handler is called in all, the first call included."""
    backoff: Backoff = "exponential"
    """How the delay grows: `constant` stays, `linear` is multiplied by the attempt's number, `exponential` doubles."""
    initial_delay: Duration | None = None
    """Delay before the second attempt. When absent, `initialInterval`; when that is absent too, 1s."""
    initial_interval: Duration | None = None
    """Another spelling of `initialDelay`; only one of the two may be given. When absent, `initialDelay` counts."""
    max_interval: Duration = format_duration(DEFAULT_MAX_INTERVAL)
    """Longest delay between two attempts; jitter never passes it."""
    max_duration: PositiveDuration | None = None
    """Longest time from the first attempt at this actor to the start of the last. When absent, no limit."""
    jitter: bool = True
    """Spread each delay by up to 50 % either way, so that failed messages do not come back all at once."""
    on_exhausted: Annotated[list[Label], Field(max_length=MAX_LIST)] = []
    """Actors to send the message to when no attempt is left, in this order, in place of the rest of its route.
    When empty, the message ends as failed."""

    @property
    def first_delay(self) -> str:
        """The delay before the second attempt, in whichever spelling it was given."""
        return self.initial_delay or self.initial_interval or format_duration(DEFAULT_FIRST_DELAY)

    def policy(self) -> Policy:
        """Return what the sidecar works with; times in seconds."""
        return Policy(
            max_attempts=self.max_attempts,
            backoff=self.backoff,
            initial_delay=parse_duration(self.first_delay),
            max_interval=parse_duration(self.max_interval),
            max_duration=None if self.max_duration is None else parse_duration(self.max_duration),
            jitter=self.jitter,
            on_exhausted=tuple(self.on_exhausted),
        )


class RuleSpec(Model):
    """Which errors get which policy."""

    errors: Annotated[list[ClassName], Field(min_length=1)]
    """Exception classes, base classes included. A name with a dot matches exactly, one without the last part."""
    policy: PolicyName
    """Name of a policy under `policies`."""


class ResiliencySpec(Model):
    """How long a call may take, and what happens when it fails."""

    actor_timeout: PositiveDuration = format_duration(DEFAULT_ACTOR_TIMEOUT)
    """Longest time of one call of the handler. Leases, visibility and the grace period follow from it."""
    policies: Annotated[dict[PolicyName, PolicySpec], Field(max_length=MAX_LIST)] = {}
    """Retry policies by name. `default` is for errors that no rule names; without it those are not retried."""
    rules: Annotated[list[RuleSpec], Field(max_length=MAX_LIST)] = []
    """Rules in order; the first that matches wins."""
    non_retryable_errors: list[ClassName] = []
    """Exception classes that are never tried again, whatever the rules say."""
    rate_limit: RateLimitSpec | None = None
    """How many calls begin. When absent, as many as there is room for."""
    circuit_breaker: CircuitBreakerSpec | None = None
    """When the handler is not called for a while, because it would fail. When absent, it is always called."""
    destinations: Annotated[dict[Label, DestinationSpec], Field(max_length=MAX_LIST)] = {}
    """The same for actors that this one sends to, by name."""

    def resiliency(self, replicas: int) -> Resiliency:
        """Return what the sidecar works with, where there are `replicas` of them at most; times in seconds."""
        breaker = self.circuit_breaker
        return Resiliency(
            actor_timeout=parse_duration(self.actor_timeout),
            policies={name: policy.policy() for name, policy in self.policies.items()},
            rules=tuple(Rule(errors=tuple(rule.errors), policy=rule.policy) for rule in self.rules),
            non_retryable=tuple(self.non_retryable_errors),
            protection=Protection(
                rate_limit=None if self.rate_limit is None else self.rate_limit.limit(replicas),
                circuit_breaker=None if breaker is None else breaker.breaker(tuple(breaker.errors)),
            ),
            destinations={name: each.protection(replicas) for name, each in self.destinations.items()},
        )
