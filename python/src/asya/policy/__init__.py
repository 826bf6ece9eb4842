"""Resiliency and durations: what both people and messages need.

Belongs here: plain structures that the sidecar reads without pydantic and the API wraps. Does not belong here: how they
are written in a manifest (`asya.api`) and what becomes of a message (`asya_sidecar.decide`).
"""

from asya.policy.durations import format_duration, parse_duration
from asya.policy.protection import CircuitBreaker, CircuitState, Protection, RateLimit
from asya.policy.resiliency import Backoff, Failure, Policy, Resiliency, Retry, Rule, Verdict

__all__ = [
    "Backoff",
    "CircuitBreaker",
    "CircuitState",
    "Failure",
    "Policy",
    "Protection",
    "RateLimit",
    "Resiliency",
    "Retry",
    "Rule",
    "Verdict",
    "format_duration",
    "parse_duration",
]
