"""AsyncActors as a cluster has them: what a sender and a reader need to know of each. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from asya.api.fields import KIND
from asya.api.scaling import ScalingSpec
from asya.cli.cluster.api import Cluster, Manifest
from asya.cli.cluster.errors import ClusterError, ForbiddenError
from asya.operator.identity import FIELD_MANAGER, actor_name

CREW = ("x-sink", "x-sump")
# True is bad. Synced and Ready are Crossplane's: what they say of parts is said better by the parts' own conditions.
_BAD_WHEN_TRUE = frozenset({"TransportMixed"})
_OF_THE_WHOLE = ("Synced", "Ready")
_SCALING = ScalingSpec.model_fields


@dataclass(frozen=True, kw_only=True)
class Actor:
    """One actor. `queue` is the queue's identity at its broker and `queue_url` its address, where it has one."""

    name: str
    phase: str
    ready: bool
    leaving: bool
    transport: str | None
    queue: str
    queue_url: str | None
    composition: str | None
    replicas: int
    ready_replicas: int
    least: int
    most: int
    wrong: list[str] = field(default_factory=list)
    """A sentence for each condition that is not as it should be, and for each cause that keeps Pods from running."""


def read(manifest: Manifest) -> Actor:
    """Read one AsyncActor."""
    spec, status = manifest.get("spec") or {}, manifest.get("status") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    scaling = spec.get("scaling") or {}
    # A claim has Crossplane's own fields at the top.
    machinery = spec.get("crossplane") or spec
    return Actor(
        name=actor_name(manifest),
        phase=status.get("phase") or "Creating",
        ready=conditions.get("Ready", {}).get("status") == "True",
        leaving="deletionTimestamp" in manifest["metadata"],
        transport=status.get("transport") or spec.get("transport"),
        queue=status.get("queueIdentifier") or "",
        queue_url=status.get("queueUrl"),
        composition=(machinery.get("compositionRef") or {}).get("name"),
        replicas=status.get("replicas") or 0,
        ready_replicas=status.get("readyReplicas") or 0,
        least=scaling.get("minReplicaCount", _SCALING["min_replica_count"].default),
        most=scaling.get("maxReplicaCount", _SCALING["max_replica_count"].default),
        wrong=list(_wrong(conditions, status.get("message") or "")),
    )


def _wrong(conditions: dict[str, Any], message: str) -> Iterable[str]:
    told = False
    for name, condition in conditions.items():
        bad = "True" if name in _BAD_WHEN_TRUE else "False"
        if name not in _OF_THE_WHOLE and condition["status"] == bad:
            told = True
            yield f"{name}: {condition.get('message') or condition.get('reason') or bad}"
    if told:
        return
    for name in _OF_THE_WHOLE:
        if conditions.get(name, {}).get("status") == "False":
            yield f"{name}: {message or conditions[name].get('message') or conditions[name].get('reason')}"
            return


def actors_of(cluster: Cluster) -> list[Actor]:
    """Return the actors of the namespace that is meant, by name.

    Raises:
        ClusterError: They cannot be had; with what is missing, and what is there instead.
    """
    found = cluster.find("asyncactors", cluster.namespace)
    if found is None:
        raise ClusterError(
            f"context {cluster.context} has no kind {KIND}: Asya is not installed there, or another context is meant"
        )
    if not found and (problem := _no_namespace(cluster)):
        raise ClusterError(problem)
    actors = sorted(map(read, found), key=lambda actor: actor.name)
    if not all(actor.ready for actor in actors):
        _add_causes(cluster, {manifest["metadata"]["uid"]: actor_name(manifest) for manifest in found}, actors)
    return actors


def _add_causes(cluster: Cluster, names: Mapping[str, str], actors: Iterable[Actor]) -> None:
    """Add what the operator tells of Pods, as long as it lasts; nothing where the person may not read events."""
    try:
        events = cluster.find("events", cluster.namespace, fields=f"involvedObject.kind={KIND},type=Warning") or []
    except ForbiddenError:
        return
    causes: dict[str, list[str]] = {}
    for event in events:
        # Those that last have a name of the operator's, and are taken back; others tell of what has happened once.
        ours = (event.get("source") or {}).get("component") == FIELD_MANAGER and "generateName" not in event["metadata"]
        if ours and (name := names.get(event["involvedObject"].get("uid", ""))):
            causes.setdefault(name, []).append(event["message"])
    for actor in actors:
        actor.wrong.extend(sorted(causes.get(actor.name, ())))


def pick(actors: Sequence[Actor], name: str, cluster: Cluster) -> Actor:
    """Return the actor of a name that routes use.

    Raises:
        ClusterError: There is none, or it is the crew's; with names that are like it.
    """
    if name in CREW:
        raise ClusterError(f"{name!r} comes at the end of every route by itself; leave it out")
    for actor in actors:
        if actor.name == name:
            return actor
    names = [actor.name for actor in actors if actor.name not in CREW]
    text = f"context {cluster.context} has no actor {name!r} in namespace {cluster.namespace}"
    raise ClusterError(f"{text}; {_like(name, names)}")


def _no_namespace(cluster: Cluster) -> str | None:
    """Say that the namespace does not exist, where the person may know that."""
    try:
        if cluster.get("namespaces", cluster.namespace) is not None:
            return None
    except ForbiddenError:
        return None
    text = f"context {cluster.context} has no namespace {cluster.namespace!r}"
    try:
        there = cluster.find("namespaces") or []
    except ForbiddenError:
        return text
    return f"{text}; {_like(cluster.namespace, [each['metadata']['name'] for each in there])}"


def _like(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(repr(each) for each in near)}?"
    return f"there are: {', '.join(sorted(names)) or 'none'}"
