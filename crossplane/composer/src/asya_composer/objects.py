"""Making an object for an actor, and telling whether it is ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asya_composer.kinds import Kind
from asya_composer.model import Condition, Context, Manifest, Observed, Part, Resource, Seen
from asya_composer.ownership import is_only_ours, is_told, ours

ACTOR, TRANSPORT = "asya.sh/actor", "asya.sh/transport"
_PASSING = ("Creating", "Deleting", "")
"""Reasons of a condition Ready=False that end by themselves."""


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
    if why := _absent(key, manifest, observed):
        return Resource(key, part, manifest, ready=False, why=why)
    told = observed.conditions(key)
    error = _complaint(told, condition)
    if error:
        said = f"{_called(manifest)}: {error}"
        return Resource(key, part, manifest, ready=False, why=said, error=said)
    found = told.get(condition)
    if found is None or not found.is_true:
        return Resource(key, part, manifest, ready=False, why=f"{_called(manifest)} is not ready yet")
    return Resource(key, part, manifest, ready=True)


def _complaint(told: Mapping[str, Condition], condition: str) -> str:
    """Return what the controller complains about. Providers say it in `Synced`, operators in `Ready` itself."""
    synced, ready = told.get("Synced"), told.get(condition)
    if synced is not None and synced.status == "False":
        return synced.message or synced.reason
    if ready is not None and ready.status == "False" and ready.reason not in _PASSING:
        return ready.message or ready.reason
    return ""


def by_existence(key: str, part: Part, manifest: Manifest, observed: Observed) -> Resource:
    """Return a resource that is ready as soon as it is there; for kinds without conditions."""
    why = _absent(key, manifest, observed)
    return Resource(key, part, manifest, ready=not why, why=why)


def _absent(key: str, manifest: Manifest, observed: Observed) -> str:
    """Return why the object is not there, or will not be for long; empty where it is there."""
    if observed.get(key) is None:
        return f"{_called(manifest)} is being created"
    if observed.at(key, "metadata", "deletionTimestamp"):
        # Of an actor that was deleted and made again meanwhile: what its controller says is of the one that goes.
        return f"{_called(manifest)} is being deleted, and is made anew when it is gone"
    return ""


def _called(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def held(key: str, part: Part, observed: Seen, why: str) -> Resource:
    """Return what exists as it is, so that it stays while something else is waited for.

    What others have set is left to them: they would lose it with the next object that has not got it.
    """
    metadata, spec = observed.get("metadata"), observed.get("spec")
    there = metadata if isinstance(metadata, Mapping) else {}
    kept = {name: there[name] for name in ("name", "namespace") if name in there}
    kept |= {name: dict(values) for name in ("labels", "annotations") if (values := ours(observed, name))}
    manifest = {**{name: value for name, value in observed.items() if name != "status"}, "metadata": kept}
    if observed.get("kind") == "Deployment" and is_told(observed) and isinstance(spec, Mapping):
        left = {name for name in _SHARED if not is_only_ours(observed, "spec", name)}
        manifest["spec"] = {name: value for name, value in spec.items() if name not in left}
    return Resource(key, part, manifest, ready=False, why=why)


_SHARED = ("replicas", "paused")
"""Of a Deployment's spec: what others set too, an autoscaler or people who hold a rollout up."""
