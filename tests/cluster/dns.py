"""CoreDNS: names of services and pods, and no others, because nothing else can be reached."""

from __future__ import annotations

from typing import Any

from tests.cluster.oci import Image
from tests.cluster.plan import Plan
from tests.cluster.programs import program

NAME = "coredns"
NAMESPACE = "kube-system"
IMAGE = "asya-cluster/coredns"
_LABELS = {"k8s-app": "kube-dns"}

Manifest = dict[str, Any]


def image() -> Image:
    """CoreDNS alone."""
    built = program("coredns")
    return Image(IMAGE, {"coredns": built.path}, ["/coredns"], built.key)


def corefile(plan: Plan) -> str:
    """Return CoreDNS's settings."""
    return f""".:1053 {{
    errors
    health :8080
    ready :8181
    kubernetes {plan.domain} in-addr.arpa ip6.arpa {{
        pods insecure
        ttl 5
    }}
    cache 5
}}
"""


def manifests(plan: Plan) -> list[Manifest]:
    """Return all objects of CoreDNS."""
    meta = {"name": NAME, "namespace": NAMESPACE}
    core = {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]}
    slices = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}
    group = "rbac.authorization.k8s.io"
    role = {"apiGroup": group, "kind": "ClusterRole", "name": "asya-cluster-dns"}
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}
    ports = [{"name": "dns", "port": 53, "targetPort": 1053, "protocol": "UDP"}]
    ports.append({"name": "dns-tcp", "port": 53, "targetPort": 1053, "protocol": "TCP"})
    service = {"clusterIP": plan.network.dns, "selector": _LABELS, "ports": ports}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": role["name"]},
            "rules": [core, slices],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": role["name"]},
            "roleRef": role,
            "subjects": [subject],
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"Corefile": corefile(plan)}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {**meta, "name": "kube-dns"}, "spec": service},
        _deployment(plan, meta),
    ]


def _deployment(plan: Plan, meta: Manifest) -> Manifest:
    container = {
        "name": NAME,
        "image": f"{plan.registry}/{IMAGE}:1",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [{"containerPort": 1053, "protocol": "UDP"}, {"containerPort": 1053, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"}],
    }
    pod = {
        "serviceAccountName": NAME,
        "dnsPolicy": "Default",
        "priorityClassName": "system-cluster-critical",
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": NAME}}],
    }
    spec = {"replicas": 1, "selector": {"matchLabels": _LABELS}}
    template = {"metadata": {"labels": _LABELS}, "spec": pod}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {**spec, "template": template}}
