"""Which sidecar a Pod gets: from the actor named on it to the changed Pod, asking the API server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from asya.operator.identity import ACTOR, INJECT, Manifest, actor_name
from asya.operator.injection import FILE, Injected, InjectionRefusedError, inject, read

_TRANSPORT = "asya.sh/transport"


class Cluster(Protocol):
    """What is asked; see `asya.operator.cluster.Cluster`."""

    def actors(self, namespace: str | None = None) -> list[Manifest] | None:
        """Return a namespace's actors."""

    def config_maps(self, namespace: str, labels: Mapping[str, str]) -> list[Manifest]:
        """Return ConfigMaps by their labels."""


def admit(cluster: Cluster, namespace: str, pod: Mapping[str, Any]) -> Injected:
    """Return the Pod with its sidecar.

    Raises:
        InjectionRefusedError: It cannot have it, or not yet; the text tells its owner why.
        ClusterError: The API server does not answer.
    """
    name = pod["metadata"]["labels"][INJECT]
    actor = next((each for each in cluster.actors(namespace) or () if actor_name(each) == name), None)
    if actor is None:
        raise InjectionRefusedError(f"namespace {namespace} has no actor {name!r}, which the label {INJECT} names")
    if not actor["spec"].get("workloadRef"):
        raise InjectionRefusedError(f"actor {name!r} has pods of its own: it has no workloadRef")
    transport = (actor.get("status") or {}).get("transport")
    found = cluster.config_maps(namespace, {ACTOR: name, _TRANSPORT: transport}) if transport else []
    composed = [each for each in found if FILE in (each.get("data") or {})]
    if not composed:
        raise InjectionRefusedError(f"actor {name!r} is not composed yet; the Pod is made again by its controller")
    return inject(pod, name, read(composed[0]))
