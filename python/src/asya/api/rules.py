"""All rules across fields."""

from __future__ import annotations

from asya.api import rules_keys, rules_mesh, rules_pod
from asya.api.crossrule import CrossRule, mapping
from asya.api.paths import Path

RULES: tuple[CrossRule, ...] = (*rules_mesh.RULES, *rules_pod.RULES, *rules_keys.RULES)


def broken_rules(manifest: object) -> list[tuple[Path, str]]:
    """Return (path, sentence) of every rule that `manifest` breaks; it may be any JSON value."""
    document = mapping(manifest)
    return [found for rule in RULES for found in rule.broken(document)]
