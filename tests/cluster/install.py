"""What stands on the node, in the order in which a user installs it; each is a step of its own."""

from __future__ import annotations

from collections.abc import Callable

from tests.cluster import brokers, crossplane, keda, platform, topology_operator
from tests.cluster.cluster import Cluster
from tests.cluster.plan import ClusterError

# Namespaces with actors that may use the broker's administrator; all, because tests make them as they need them.
_ALLOWED = "*"


def install_crossplane(cluster: Cluster) -> None:
    """Crossplane."""
    with cluster.step("Crossplane's image"):
        cluster.push(*crossplane.image())
    with cluster.step("Crossplane ready"):
        crossplane.install(cluster.plan)


def install_topology_operator(cluster: Cluster) -> None:
    """The Messaging Topology Operator, and the broker as a service that the platform's values name."""
    if not brokers.RABBITMQ.exists():
        raise ClusterError("the Messaging Topology Operator needs RabbitMQ, which this machine lacks")
    with cluster.step("image of the topology operator"):
        cluster.push(topology_operator.image())
    with cluster.step("topology operator ready"):
        topology_operator.install(cluster.plan)
        cluster.kubectl().apply(*topology_operator.broker(cluster.plan, platform.NAMESPACE, _ALLOWED))


def install_asya(cluster: Cluster) -> None:
    """KEDA and Asya, in the one release of the umbrella chart."""
    with cluster.step("KEDA's images"):
        for image, tag in keda.images():
            cluster.push(image, tag)
    with cluster.step("images and packages of this repository"):
        platform.push(cluster.namespaces)
    with cluster.step("umbrella chart installed, kind served, function healthy"):
        platform.install(cluster.plan)


PARTS: dict[str, Callable[[Cluster], None]] = {
    "crossplane": install_crossplane,
    "topology-operator": install_topology_operator,
    "asya": install_asya,
}


def install(cluster: Cluster, names: list[str]) -> None:
    """Install parts in their order; all when none is named.

    Raises:
        ClusterError: One is unknown, or does not get ready.
    """
    if unknown := sorted(set(names) - set(PARTS)):
        raise ClusterError(f"nothing is named {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    for name, part in PARTS.items():
        if not names or name in names:
            part(cluster)
