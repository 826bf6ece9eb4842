"""What stands around the pods: PodDisruptionBudget, NetworkPolicy, PodMonitor."""

from __future__ import annotations

from urllib.parse import urlsplit

from asya.api.rules_mesh import TERMINAL_ACTORS
from asya_composer import kinds, names
from asya_composer.builders.containers import PORT_NAME, without_nothing
from asya_composer.builders.environment import dump
from asya_composer.builders.selection import every_pod, own_pods
from asya_composer.model import Context, Manifest, PodAccess, Resource
from asya_composer.objects import by_existence, make
from asya_composer.settings import NetworkDefaults

DISRUPTION_KEY, NETWORK_KEY, MONITOR_KEY = "pod-disruption-budget", "network-policy", "pod-monitor"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAMESPACE = "kubernetes.io/metadata.name"


def disruption_budget(context: Context) -> list[Resource]:
    """Return how many pods may be missing while nodes are drained; whoever owns a bound workload decides on its own."""
    own, platform = context.actor.spec.pod_disruption_budget, context.settings.disruption
    if (own is None and platform is None) or context.actor.spec.workload_ref is not None:
        return []
    spec = {
        **(dump(own) if own is not None else dump(platform) if platform is not None else {}),
        "selector": {"matchLabels": every_pod(context)},
        # A pod that is not ready holds up nothing by leaving.
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    manifest = make(context, kinds.POD_DISRUPTION_BUDGET, names.shared(context), spec)
    return [by_existence(DISRUPTION_KEY, "workload", manifest, context.observed)]


def network_policy(context: Context, access: PodAccess) -> list[Resource]:
    """Return what the pods may reach: their broker, DNS, the gateway, traces' receiver, and what the platform says."""
    network, own = context.settings.network, context.actor.spec.network_policy
    enabled = network.enabled if own.enabled is None else own.enabled
    if not enabled or context.actor.spec.workload_ref is not None:
        return []
    spec = {
        "podSelector": {"matchLabels": own_pods(context)},
        "policyTypes": ["Ingress", "Egress"],
        # An empty list is not kept by the server, so each look would write one anew, and be the cause of the next.
        **without_nothing({"ingress": _ingress(context)}),
        "egress": [
            _dns(network),
            *access.egress,
            *_gateway(context),
            *_tracing(context),
            *network.egress,
            *(network.crew_egress if context.actor.name in TERMINAL_ACTORS else ()),
            *own.egress,
        ],
    }
    manifest = make(context, kinds.NETWORK_POLICY, names.workload(context), spec)
    return [by_existence(NETWORK_KEY, "workload", manifest, context.observed)]


def pod_monitor(context: Context) -> list[Resource]:
    """Return where Prometheus reads the pods' metrics, when the actor or the platform asks for it."""
    own, platform = context.actor.spec.pod_monitor, context.settings.pod_monitor
    monitor = own or platform
    if monitor is None:
        return []
    labels = {**(platform.labels if platform else {}), **monitor.labels}
    spec = {
        "selector": {"matchLabels": every_pod(context)},
        "podMetricsEndpoints": [{"port": PORT_NAME, "path": "/metrics", "interval": monitor.interval}],
    }
    manifest = make(context, kinds.POD_MONITOR, names.shared(context), spec, labels=labels)
    return [by_existence(MONITOR_KEY, "workload", manifest, context.observed)]


def _ingress(context: Context) -> list[Manifest]:
    """Only who reads metrics comes in; the kubelet's probes do not pass a policy.

    Who asks for a PodMonitor on a platform that does not say where Prometheus is, is asked by anybody.
    """
    peers = context.settings.network.scrape_from
    watched = context.actor.spec.pod_monitor or context.settings.pod_monitor
    metrics = _tcp(context.settings.sidecar.port)
    if not peers:
        return [] if watched is None else [{"ports": [metrics]}]
    own = [{"port": port.container_port, "protocol": port.protocol} for port in context.actor.spec.ports]
    return [{"from": peers, "ports": [metrics, *own]}]


def _dns(network: NetworkDefaults) -> Manifest:
    ports = [{"port": port, "protocol": protocol} for port in network.dns_ports for protocol in ("UDP", "TCP")]
    caches = [{"ipBlock": {"cidr": block}} for block in network.dns_cidrs]
    return {"to": [_in(network.dns_namespace), *caches], "ports": ports}


def _gateway(context: Context) -> list[Manifest]:
    gateway = context.settings.gateway
    if gateway is None:
        return []
    if gateway.namespace is None:
        return [{"ports": [_tcp(_port(gateway.url))]}]
    return [{"to": [_in(gateway.namespace)], "ports": [_tcp(gateway.port)]}]


def _tracing(context: Context) -> list[Manifest]:
    tracing = context.actor.spec.tracing or context.settings.tracing
    return [] if tracing is None else [{"ports": [_tcp(_port(tracing.endpoint))]}]


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or _DEFAULT_PORTS[parts.scheme]


def _tcp(port: int) -> Manifest:
    return {"port": port, "protocol": "TCP"}


def _in(namespace: str) -> Manifest:
    return {"namespaceSelector": {"matchLabels": {_NAMESPACE: namespace}}}
