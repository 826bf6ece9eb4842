"""The composite resource as an `AsyncActor`: what a server or Crossplane wrote into it is left out.

With the v1 XRD the composite is a cluster-scoped `XAsyncActor` that stands for a claim; the claim's name and namespace
are the actor's then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from asya.api import AsyncActor
from asya.api.actor import MACHINERY
from asya.api.check import check
from asya.api.fields import API_VERSION, KIND
from asya.api.paths import path_text
from asya_composer.errors import CompositionError
from asya_composer.model import Manifest

_FOREIGN_LABELS = ("crossplane.io/", "app.kubernetes.io/")


@dataclass(frozen=True, slots=True)
class Claim:
    """Who the composite is for, and what it says."""

    name: str
    namespace: str
    labels: Mapping[str, str]
    spec: Mapping[str, Any]

    @property
    def actor(self) -> str:
        """Name of the actor, whether or not the rest of the manifest is any good."""
        return str(self.spec.get("actor") or self.name)

    @property
    def flavors(self) -> list[str]:
        """Names of the flavors, none where the field holds something else, which is told when the whole is read."""
        named = self.spec.get("flavors")
        return named if isinstance(named, list) and all(isinstance(name, str) for name in named) else []

    def manifest(self, spec: Mapping[str, Any]) -> Manifest:
        """Return the manifest with `spec` in place of its own."""
        metadata = {"name": self.name, "namespace": self.namespace, "labels": dict(self.labels)}
        return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": dict(spec)}


def read(composite: Mapping[str, Any]) -> Claim:
    """Return what the composite says.

    Raises:
        CompositionError: It has no namespace.
    """
    metadata, spec = composite.get("metadata") or {}, composite.get("spec") or {}
    reference = spec.get("claimRef") or metadata
    if not reference.get("namespace"):
        raise CompositionError("metadata.namespace", "missing; an actor lives in a namespace")
    labels = metadata.get("labels") or {}
    return Claim(
        name=reference.get("name", ""),
        namespace=reference["namespace"],
        labels={name: value for name, value in labels.items() if not _is_foreign(name)},
        spec={name: value for name, value in spec.items() if name not in MACHINERY},
    )


def actor(claim: Claim, spec: Mapping[str, Any]) -> AsyncActor:
    """Return the actor that has `spec`.

    Raises:
        CompositionError: It is not one; the first field is named, and what is wrong with all.
    """
    # Crossplane calls again with what was asked for, so each comes twice, and to read it is a good part of an answer.
    return _actor(json.dumps(claim.manifest(spec)))


@lru_cache(maxsize=64)
def _actor(manifest: str) -> AsyncActor:
    found, problems = check(json.loads(manifest))
    if found is None or problems:
        first, *others = problems
        more = "".join(f"; {path_text(other.path)}: {other.message}" for other in others)
        raise CompositionError(path_text(first.path), f"{first.message}{more}")
    return found


def _is_foreign(label: str) -> bool:
    """Labels by which others find the composite would make them find what is composed too."""
    return label.startswith(_FOREIGN_LABELS)
