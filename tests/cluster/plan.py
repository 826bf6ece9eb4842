"""What a cluster is: its name, its addresses and where it keeps things. Nothing here touches the machine."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,22}[a-z0-9])?")
STATE_VARIABLE = "ASYA_CLUSTER_STATE"
CACHE_VARIABLE = "ASYA_CLUSTER_CACHE"


class ClusterError(Exception):
    """The cluster cannot do what was asked; the message is for people."""


@dataclass(frozen=True)
class Network:
    """Addresses inside the cluster's network namespace. Each cluster has a namespace, so all have the same ones."""

    node: str = "10.244.0.1"
    pods: str = "10.244.0.0/24"
    services: str = "10.96.0.0/16"
    kubernetes: str = "10.96.0.1"
    dns: str = "10.96.0.10"
    bridge: str = "cni0"
    apiserver: int = 6443
    etcd: int = 2379
    etcd_peers: int = 2380
    registry: int = 5000
    amqp: int = 5672
    rabbitmq_management: int = 15672
    moto: int = 4566
    postgresql: int = 5432
    pubsub: int = 8085

    def at(self, port: int) -> str:
        """Return a port of the node as host:port."""
        return f"{self.node}:{port}"


@dataclass(frozen=True)
class Plan:
    """One cluster.

    `state` holds everything of the running cluster and goes with it; `cache` outlives clusters and is shared by all.
    """

    name: str
    state: Path
    cache: Path
    node: str = "node1"
    domain: str = "cluster.local"
    network: Network = field(default_factory=Network)

    @property
    def scope(self) -> str:
        """Name of the network namespace and of the control group."""
        return f"asya-{self.name}"

    @property
    def netns(self) -> Path:
        """The network namespace, as `nsenter --net=` takes it."""
        return Path("/run/netns") / self.scope

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.state / "pki"

    @property
    def logs(self) -> Path:
        """One file for each process, and what pods print."""
        return self.state / "logs"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, with the address inside the namespace."""
        return self.state / "kubeconfigs" / "admin"

    @property
    def server(self) -> str:
        """Address of the API server."""
        return f"https://{self.network.at(self.network.apiserver)}"

    @property
    def registry(self) -> str:
        """host:port of the registry on the node, which serves plain HTTP."""
        return self.network.at(self.network.registry)


def plan(name: str, environ: Mapping[str, str]) -> Plan:
    """Return the plan of the cluster `name`.

    Raises:
        ClusterError: The name cannot be one of a network namespace and of a control group.
    """
    if not NAME.fullmatch(name):
        raise ClusterError(
            f"a cluster's name has at most 24 small letters, digits and inner hyphens; {name!r} does not"
        )
    state = Path(environ.get(STATE_VARIABLE) or "/var/lib/asya/clusters")
    caches = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asya" / "cluster"
    return Plan(name, state / name, Path(environ.get(CACHE_VARIABLE) or caches))


def own(name: str) -> Plan:
    """Return the plan of the cluster `name` with this process's environment."""
    return plan(name, os.environ)
