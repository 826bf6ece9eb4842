"""What to do when a handler fails: policies, rules, and the verdict over one failure.

Pure: the same failure of the same message gives the same verdict, jitter included.
"""

from __future__ import annotations

from typing import Literal
from zlib import crc32

import msgspec

from asya.policy.protection import Protection

Backoff = Literal["constant", "linear", "exponential"]

DEFAULT_FIRST_DELAY = 1.0
DEFAULT_MAX_INTERVAL = 300.0
DEFAULT_MAX_ATTEMPTS = 3
DEFAULT_ACTOR_TIMEOUT = 300.0
LONGEST_DELAY = 365 * 24 * 3600.0
"""Seconds between two attempts; a retry that would come later is not made. Every transport can count so far."""

RUNTIME_CRASHED = "RuntimeCrashed"
RESULT_NOT_SERIALIZABLE = "ResultNotSerializable"
INVALID_ROUTE = "InvalidRoute"
CALL_TIMEOUT = "CallTimeout"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """How a call failed, as the runtime or the sidecar saw it.

    `type` and `mro` are names as in envelope `status.error`: built-in classes unqualified, others ``module.Qualname``;
    `mro` leaves out the class itself, `object` and `BaseException`. `retry_after` is the handler's hint in seconds.
    `retryable` is the handler's own word (exception attribute) and beats every rule when it is false.
    """

    type: str
    message: str = ""
    mro: tuple[str, ...] = ()
    traceback: str = ""
    retry_after: float | None = None
    retryable: bool | None = None


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """One named retry policy. Times in seconds; `max_attempts` counts the first call; `max_duration` is per actor."""

    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    backoff: Backoff = "exponential"
    initial_delay: float = DEFAULT_FIRST_DELAY
    max_interval: float = DEFAULT_MAX_INTERVAL
    max_duration: float | None = None
    jitter: bool = True
    on_exhausted: tuple[str, ...] = ()

    def delay(self, attempt: int, *, salt: bytes) -> float:
        """Seconds to wait after failed attempt number `attempt` (1-based).

        Jitter spreads by ±50 % and never passes the cap; `salt` makes it a function of the message, not of chance.
        """
        if self.backoff == "constant":
            base = self.initial_delay
        elif self.backoff == "linear":
            base = self.initial_delay * attempt
        else:
            # 2**63 is beyond any cap; without the bound a large attempt number would overflow a float.
            base = self.initial_delay * 2.0 ** min(attempt - 1, 63)
        base = min(base, self.max_interval)
        if self.jitter:
            spread = crc32(salt + attempt.to_bytes(4, "big")) / 0x1_0000_0000
            base *= 0.5 + spread
        return min(base, self.max_interval)


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Errors by class name, and their policy. A name with a dot matches exactly, one without the last segment."""

    errors: tuple[str, ...]
    policy: str

    def matches(self, failure: Failure) -> bool:
        """Tell whether one of the names is the failure's class or a base class of it."""
        names = (failure.type, *failure.mro)
        return any(
            name == wanted if "." in wanted else name.rpartition(".")[2] == wanted
            for wanted in self.errors
            for name in names
        )


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """Try again after `delay` seconds; `max_attempts` is the matched policy's."""

    delay: float
    max_attempts: int


class Exhausted(msgspec.Struct, frozen=True, kw_only=True):
    """No attempt left: go to `route` when it is not empty, else the message has failed for good."""

    route: tuple[str, ...]
    max_attempts: int


class TooLate(msgspec.Struct, frozen=True, kw_only=True):
    """The next attempt would come after the deadline or the policy's `max_duration`, or later than anybody waits."""

    reason: Literal["Timeout", "PolicyExhausted"]
    max_attempts: int


Verdict = Retry | Exhausted | TooLate

_NO_POLICY = Policy(max_attempts=1)
# A dead runtime is not the message's fault until proven: without any policy of the user's it gets this one.
_CRASH_POLICY = Policy(max_attempts=3)
# The same input gives the same unusable result, so only a rule that names these classes brings a retry.
_NOT_BY_DEFAULT = frozenset({RESULT_NOT_SERIALIZABLE, INVALID_ROUTE})


class Resiliency(msgspec.Struct, frozen=True, kw_only=True):
    """A whole `spec.resiliency`: limit of a call (seconds), named policies, rules in order, classes never retried.

    `protection` is the actor's own, `destinations` that of the actors it sends to, by name.
    """

    actor_timeout: float = DEFAULT_ACTOR_TIMEOUT
    policies: dict[str, Policy] = {}
    rules: tuple[Rule, ...] = ()
    non_retryable: tuple[str, ...] = ()
    protection: Protection = Protection()
    destinations: dict[str, Protection] = {}

    def policy_for(self, failure: Failure) -> Policy:
        """First matching rule's policy, else `default`, else one attempt only."""
        if self._is_never_retried(failure):
            return self._exhausted_at_once()
        for rule in self.rules:
            if rule.matches(failure):
                return self.policies[rule.policy]
        if failure.type in _NOT_BY_DEFAULT:
            return self._exhausted_at_once()
        if "default" in self.policies:
            return self.policies["default"]
        return _CRASH_POLICY if failure.type == RUNTIME_CRASHED else _NO_POLICY

    def judge(
        self,
        failure: Failure,
        *,
        attempt: int,
        now: float,
        first_attempt_at: float,
        deadline_at: float | None,
        salt: bytes,
    ) -> Verdict:
        """Decide over failed attempt number `attempt` (1-based). Times are Unix seconds, UTC."""
        policy = self.policy_for(failure)
        if attempt >= policy.max_attempts:
            return Exhausted(route=policy.on_exhausted, max_attempts=policy.max_attempts)
        delay = policy.delay(attempt, salt=salt) if failure.retry_after is None else max(failure.retry_after, 0.0)
        again_at = now + delay
        if deadline_at is not None and again_at >= deadline_at:
            return TooLate(reason="Timeout", max_attempts=policy.max_attempts)
        if not delay <= LONGEST_DELAY:  # so written, NaN is too late as well
            return TooLate(reason="PolicyExhausted", max_attempts=policy.max_attempts)
        if policy.max_duration is not None and again_at >= first_attempt_at + policy.max_duration:
            return TooLate(reason="PolicyExhausted", max_attempts=policy.max_attempts)
        return Retry(delay=delay, max_attempts=policy.max_attempts)

    @property
    def protects(self) -> bool:
        """Whether there is any limit or breaker."""
        return self.protection != Protection() or bool(self.destinations)

    def trips(self, failure: Failure) -> bool:
        """Tell whether a failed call counts for the circuit breaker.

        Without a list of errors all do but those that are the message's fault: what is never tried again.
        """
        breaker = self.protection.circuit_breaker
        if breaker is not None and breaker.errors:
            return Rule(errors=breaker.errors, policy="").matches(failure)
        return not self._is_never_retried(failure) and failure.type not in _NOT_BY_DEFAULT

    def _is_never_retried(self, failure: Failure) -> bool:
        return failure.retryable is False or Rule(errors=self.non_retryable, policy="").matches(failure)

    def _exhausted_at_once(self) -> Policy:
        default = self.policies.get("default")
        return Policy(max_attempts=1, on_exhausted=default.on_exhausted if default else ())
