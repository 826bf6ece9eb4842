"""Making an object for an actor, and telling whether it is ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asya_composer.kinds import Kind
from asya_composer.model import Context, Manifest, Observed, Part, Resource

ACTOR, TRANSPORT = "asya.sh/actor", "asya.sh/transport"
MANAGED_BY = {"app.kubernetes.io/managed-by": "asya", "app.kubernetes.io/component": "actor"}


def make(
    context: Context,
    kind: Kind,
    name: str,
    spec: Mapping[str, Any] | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """Return an object of the actor's, with its labels. `annotations` are added to the composite's own."""
    metadata: Manifest = {
        "name": name,
        "namespace": context.namespace,
        "labels": {**context.labels, TRANSPORT: context.transport, **(labels or {})},
    }
    if annotations:
        metadata["annotations"] = dict(annotations)
    found: Manifest = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
    return found if spec is None else {**found, "spec": dict(spec)}


def by_condition(key: str, part: Part, manifest: Manifest, observed: Observed, *, condition: str = "Ready") -> Resource:
    """Return a resource that is ready when its controller says so; for kinds with a condition `Ready`."""
    if observed.get(key) is None:
        return Resource(key, part, manifest, ready=False, why=f"{_called(manifest)} is being created")
    found = observed.condition(key, condition)
    if found is None:
        return Resource(key, part, manifest, ready=False, why=f"{_called(manifest)} has no condition {condition} yet")
    if not found.is_true:
        said = found.message or found.reason or f"{condition} is {found.status}"
        return Resource(key, part, manifest, ready=False, why=f"{_called(manifest)}: {said}")
    return Resource(key, part, manifest, ready=True)


def by_existence(key: str, part: Part, manifest: Manifest, observed: Observed) -> Resource:
    """Return a resource that is ready as soon as it is there; for kinds without conditions."""
    there = observed.get(key) is not None
    return Resource(key, part, manifest, ready=there, why="" if there else f"{_called(manifest)} is being created")


def _called(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"
