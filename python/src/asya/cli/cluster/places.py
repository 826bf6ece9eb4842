"""Where the broker listens, for somebody who is not in the cluster: a port of a pod, or an address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from asya.cli.cluster.api import Cluster, Manifest
from asya.cli.cluster.errors import ClusterError

_SLICE_OF = "kubernetes.io/service-name"
_SERVICE = "svc"


@dataclass(frozen=True, slots=True)
class PodPort:
    """A port that is reached through the API server."""

    namespace: str
    pod: str
    port: int

    def __str__(self) -> str:
        return f"port {self.port} of pod {self.namespace}/{self.pod}"


@dataclass(frozen=True, slots=True)
class Address:
    """An address outside the cluster, which is connected to as it is."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


Place = PodPort | Address


def find_places(cluster: Cluster, host: str, port: int) -> list[Place]:
    """Return where connections to a host go that pods connect to: what is behind a Service, else the host itself.

    Raises:
        ClusterError: The Service has nobody behind it, or the person may not look.
    """
    for namespace, name in _services(host, cluster.namespace):
        service = cluster.get("services", name, namespace)
        if service is not None:
            return list(_behind(cluster, service, namespace, port))
    if _SERVICE in host.split(".")[2:]:
        raise ClusterError(f"there is no Service for the broker's host {host}")
    return [Address(host, port)]


def _services(host: str, namespace: str) -> Iterator[tuple[str, str]]:
    """Yield namespace and name of Services that a host may be, as the DNS of clusters calls them."""
    labels = host.split(".")
    if _SERVICE in labels[2:]:
        # <service>.<namespace>.svc, with a pod before it or the cluster's domain after it.
        at = labels.index(_SERVICE, 2)
        yield labels[at - 1], labels[at - 2]
    elif len(labels) == 1:
        yield namespace, host
    elif len(labels) == 2:
        yield labels[1], labels[0]


def _behind(cluster: Cluster, service: Manifest, namespace: str, port: int) -> Iterator[Place]:
    spec, name = service["spec"], service["metadata"]["name"]
    if outside := spec.get("externalName"):
        yield Address(outside, port)
        return
    own = next((each for each in spec.get("ports") or () if each["port"] == port), {"port": port})
    if selector := spec.get("selector"):
        pods = [pod for pod in cluster.find("pods", namespace, **selector) or () if _is_ready(pod)]
        places: list[Place] = [
            PodPort(namespace, pod["metadata"]["name"], _number(pod, own.get("targetPort") or port)) for pod in pods
        ]
    else:
        slices = cluster.find("endpointslices", namespace, **{_SLICE_OF: name}) or []
        places = [place for each in slices for place in _addresses(each, own, port)]
    if not places:
        raise ClusterError(f"the broker cannot be reached: nothing is ready behind Service {namespace}/{name}")
    yield from places


def _addresses(found: Manifest, own: dict[str, Any], port: int) -> Iterator[Address]:
    """Yield the addresses of an EndpointSlice that somebody has written by hand: they are not pods."""
    ports = [each["port"] for each in found.get("ports") or () if each.get("name", "") == own.get("name", "")]
    for endpoint in found.get("endpoints") or ():
        if (endpoint.get("conditions") or {}).get("ready") is not False:
            for address in endpoint["addresses"]:
                yield Address(address, ports[0] if ports else port)


def _is_ready(pod: Manifest) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def _number(pod: Manifest, port: int | str) -> int:
    """Return a port of a pod by its number or name."""
    if isinstance(port, int):
        return port
    for container in pod["spec"]["containers"]:
        for each in container.get("ports") or ():
            if each.get("name") == port:
                return int(each["containerPort"])
    raise ClusterError(f"pod {pod['metadata']['name']} has no port called {port}, which its Service names")
