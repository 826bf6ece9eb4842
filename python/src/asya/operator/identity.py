"""Names by which the operator is known in the cluster, and by which it knows what is its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FIELD_MANAGER = "asya-operator"
MANAGED_BY = "app.kubernetes.io/managed-by"
PART_OF = "app.kubernetes.io/part-of"
COMPONENT = "app.kubernetes.io/component"
CREW = "crew"
ACTOR = "asya.sh/actor"
"""Label of an actor's Pods."""
INJECT = "asya.sh/inject"
"""Label of other people's Pods: the actor whose sidecar they get."""
INJECTED = "asya.sh/injected"
"""Annotation of a Pod that has its sidecar."""

Manifest = dict[str, Any]


def actor_name(actor: Mapping[str, Any]) -> str:
    """Return the name that routes use."""
    name: str = actor.get("spec", {}).get("actor") or actor["metadata"]["name"]
    return name


def is_applied_by_operator(actor: Mapping[str, Any]) -> bool:
    """Tell whether the operator applied it: only then may it change it."""
    return any(entry.get("manager") == FIELD_MANAGER for entry in actor["metadata"].get("managedFields", ()))


def is_leaving(actor: Mapping[str, Any]) -> bool:
    """Tell whether it is being deleted."""
    return actor["metadata"].get("deletionTimestamp") is not None
