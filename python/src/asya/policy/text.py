"""Resiliency as JSON text, in the manifest's spelling: how it reaches the sidecar through its environment."""

from __future__ import annotations

from typing import Literal

import msgspec

from asya.errors import PolicyError
from asya.policy.durations import format_duration, parse_duration
from asya.policy.resiliency import DEFAULT_FIRST_DELAY, DEFAULT_MAX_ATTEMPTS, DEFAULT_MAX_INTERVAL, Policy, Rule


class _PolicyText(msgspec.Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    backoff: Literal["constant", "linear", "exponential"] = "exponential"
    initial_delay: str = format_duration(DEFAULT_FIRST_DELAY)
    max_interval: str = format_duration(DEFAULT_MAX_INTERVAL)
    max_duration: str | None = None
    jitter: bool = True
    on_exhausted: list[str] = []


class _RuleText(msgspec.Struct, forbid_unknown_fields=True):
    errors: list[str]
    policy: str


def policies_to_json(policies: dict[str, Policy]) -> str:
    """Write named policies as the text of `ASYA_RESILIENCY_POLICIES`."""
    return msgspec.json.encode({name: _to_text(policy) for name, policy in policies.items()}).decode()


def policies_from_json(text: str) -> dict[str, Policy]:
    """Read the text of `ASYA_RESILIENCY_POLICIES`.

    Raises:
        PolicyError: Not a JSON object of policies; the message names the place.
    """
    try:
        found = msgspec.json.decode(text.encode(), type=dict[str, _PolicyText])
    except msgspec.MsgspecError as error:
        raise PolicyError(str(error)) from None
    return {name: _from_text(name, policy) for name, policy in found.items()}


def rules_to_json(rules: tuple[Rule, ...]) -> str:
    """Write ordered rules as the text of `ASYA_RESILIENCY_RULES`."""
    return msgspec.json.encode([_RuleText(list(rule.errors), rule.policy) for rule in rules]).decode()


def rules_from_json(text: str) -> tuple[Rule, ...]:
    """Read the text of `ASYA_RESILIENCY_RULES`.

    Raises:
        PolicyError: Not a JSON array of rules; the message names the place.
    """
    try:
        found = msgspec.json.decode(text.encode(), type=list[_RuleText])
    except msgspec.MsgspecError as error:
        raise PolicyError(str(error)) from None
    return tuple(Rule(errors=tuple(rule.errors), policy=rule.policy) for rule in found)


def _to_text(policy: Policy) -> _PolicyText:
    return _PolicyText(
        max_attempts=policy.max_attempts,
        backoff=policy.backoff,
        initial_delay=format_duration(policy.initial_delay),
        max_interval=format_duration(policy.max_interval),
        max_duration=None if policy.max_duration is None else format_duration(policy.max_duration),
        jitter=policy.jitter,
        on_exhausted=list(policy.on_exhausted),
    )


def _from_text(name: str, text: _PolicyText) -> Policy:
    if text.max_attempts < 1:
        raise PolicyError(f"policy {name!r}: maxAttempts is {text.max_attempts}, expected at least 1")
    return Policy(
        max_attempts=text.max_attempts,
        backoff=text.backoff,
        initial_delay=parse_duration(text.initial_delay),
        max_interval=parse_duration(text.max_interval),
        max_duration=None if text.max_duration is None else parse_duration(text.max_duration),
        jitter=text.jitter,
        on_exhausted=tuple(text.on_exhausted),
    )
