"""The CompositeResourceDefinition of an actor, for Crossplane v2 and, with a claim, as it was in v1."""

from __future__ import annotations

from typing import Any

from asya.api.crd import resource_schema
from asya.api.fields import GROUP, KIND

VERSION = "v1alpha1"
PLURAL = "asyncactors"
SHORT_NAMES = ["asya", "asyas"]
CATEGORIES = ["asya"]
# Crossplane adds SYNCED, READY, COMPOSITION and AGE by itself; a column given twice would be shown twice.
COLUMNS = [
    {
        "name": "Phase",
        "type": "string",
        "jsonPath": ".status.phase",
        "description": "Creating, Ready, Napping or Degraded.",
    },
    {
        "name": "Replicas",
        "type": "integer",
        "jsonPath": ".status.replicas",
        "description": "Pods there are.",
    },
    {
        "name": "Transport",
        "type": "string",
        "jsonPath": ".status.transport",
        "description": "Broker that carries its messages.",
    },
    {
        "name": "Reason",
        "type": "string",
        "priority": 1,
        "jsonPath": ".status.message",
        "description": "The last error.",
    },
]


def definition() -> dict[str, Any]:
    """Return the definition for Crossplane v2: a namespaced resource of kind AsyncActor."""
    names = {"kind": KIND, "listKind": f"{KIND}List", "plural": PLURAL, "singular": KIND.lower()}
    return {
        "apiVersion": "apiextensions.crossplane.io/v2",
        "kind": "CompositeResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "scope": "Namespaced",
            "group": GROUP,
            "names": names | {"shortNames": SHORT_NAMES, "categories": CATEGORIES},
            "versions": [_version()],
        },
    }


def legacy_definition() -> dict[str, Any]:
    """Return the definition with a claim: people write an AsyncActor, Crossplane makes a cluster-wide XAsyncActor."""
    claim = {"kind": KIND, "listKind": f"{KIND}List", "plural": PLURAL, "singular": KIND.lower()}
    names = {
        "kind": f"X{KIND}",
        "listKind": f"X{KIND}List",
        "plural": f"x{PLURAL}",
        "singular": f"x{KIND.lower()}",
    }
    return {
        "apiVersion": "apiextensions.crossplane.io/v1",
        "kind": "CompositeResourceDefinition",
        "metadata": {"name": f"x{PLURAL}.{GROUP}"},
        "spec": {
            "scope": "LegacyCluster",
            "group": GROUP,
            "names": names | {"shortNames": [f"x{name}" for name in SHORT_NAMES], "categories": CATEGORIES},
            "claimNames": claim | {"shortNames": SHORT_NAMES, "categories": CATEGORIES},
            "versions": [_version()],
        },
    }


def _version() -> dict[str, Any]:
    return {
        "name": VERSION,
        "served": True,
        "referenceable": True,
        "additionalPrinterColumns": COLUMNS,
        "schema": {"openAPIV3Schema": resource_schema()},
    }
