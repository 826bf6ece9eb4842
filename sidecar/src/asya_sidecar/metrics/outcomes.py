"""Label values: what each row of the truth table counts as.

The values that the public project has are spelled as there; they mean the same, except that a message that is retried
counts as `retried` only, and not as `error` too.
"""

from __future__ import annotations

import msgspec

STATUSES = (
    "success", "empty_response", "end_consumed", "retried", "policy_routed", "paused", "canceled",
    "preflight_canceled", "preflight_paused", "sla_expired", "error",
)  # fmt: skip
FAILURE_REASONS = (
    "parse_error", "validation_error", "route_mismatch", "hop_limit", "sla_timeout", "policy_exhausted",
    "routing_error", "too_large", "dead_lettered", "internal_error",
)  # fmt: skip
ERROR_TYPES = ("execution_error", "timeout", "runtime_crashed", "result_not_serializable", "invalid_route")
MESSAGE_TYPES = ("routing", "retry", "on_exhausted", "sink", "sump")
PHASES = ("succeeded", "failed", "canceled", "paused")
RELEASE_REASONS = ("runtime_away", "unstarted", "draining", "internal_error")
STOP_REASONS = (
    "no_runtime", "runtime_stopping", "draining", "broker_disconnected", "broker_refuses", "unreachable",
    "rate_limit", "circuit_open", "other",
)  # fmt: skip


class Labels(msgspec.Struct, frozen=True):
    """How a settled message counts. `reason` is set where it ended in failure."""

    status: str
    reason: str | None = None


ROWS: dict[str, Labels] = {
    "unparsable": Labels("error", "parse_error"),
    "no-id": Labels("error", "validation_error"),
    "wrong-actor": Labels("error", "route_mismatch"),
    "hop-limit": Labels("error", "hop_limit"),
    "canceled": Labels("preflight_canceled"),
    "paused": Labels("preflight_paused"),
    "deadline-over": Labels("sla_expired", "sla_timeout"),
    "result": Labels("success"),
    "fan-out": Labels("success"),
    "end-of-route": Labels("success"),
    "nothing": Labels("empty_response"),
    "pause-asked": Labels("paused"),
    "handler-error": Labels("retried"),
    "retry-too-late": Labels("error", "policy_exhausted"),
    "exhausted-route": Labels("policy_routed"),
    "exhausted": Labels("error", "policy_exhausted"),
    "canceled-in-call": Labels("canceled"),
    "too-large": Labels("error", "too_large"),
    "no-destination": Labels("error", "routing_error"),
    "sink-hooks-left": Labels("end_consumed"),
    "sink-done": Labels("end_consumed"),
    "sink-failed": Labels("error", "policy_exhausted"),
    "sump-done": Labels("end_consumed"),
    "sump-failed": Labels("error", "dead_lettered"),
}
"""By the row whose effects a decision has. Rows that settle nothing, or give the delivery back, are not here."""

CAUSES: dict[str, str] = {
    "handler-error": "execution_error",
    "stream-failed": "execution_error",
    "call-timeout": "timeout",
    "runtime-crashed": "runtime_crashed",
    "unserialisable": "result_not_serializable",
    "invalid-route": "invalid_route",
}
"""`error_type` by the situation of a failed call."""

SETTLES_NOTHING = frozenset(
    ("terminal-actor", "runtime-away", "broker-refuses", "sink-away", "sigterm", "redelivered", "delivery-limit")
)
"""Rows of the truth table that are never counted as processed: checks passed, waiting, deliveries given back, and what
the broker does by itself."""

_STOPPED_BY = {
    "no runtime": "no_runtime",
    "the runtime is stopping": "runtime_stopping",
    "draining": "draining",
    "the broker does not take messages": "broker_refuses",
    "neither": "unreachable",
    "rate limit": "rate_limit",
    "circuit": "circuit_open",
}


def stop_reason(blocker: str) -> str:
    """Return the label value for a reason why nothing is received, which is a sentence for people elsewhere."""
    return next((value for start, value in _STOPPED_BY.items() if blocker.startswith(start)), "other")
