"""RabbitMQ's Messaging Topology Operator, from its own manifests; and the broker as a service of the cluster."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import yaml
from tests.cluster import brokers
from tests.cluster.kubectl import Kubectl
from tests.cluster.oci import Image
from tests.cluster.plan import Plan
from tests.cluster.programs import program, source

NAMESPACE = "rabbitmq-system"
DEPLOYMENT = "messaging-topology-operator"
IMAGE = "asya-cluster/topology-operator"
SERVICE = "rabbitmq"
SECRET = "rabbitmq-admin"  # the Secret's name
_SECONDS = 120

Manifest = dict[str, Any]


def image() -> Image:
    """The operator alone."""
    built = program("topology-operator")
    return Image(IMAGE, {"manager": built.path}, ["/manager"], built.key)


def manifests(plan: Plan) -> list[Manifest]:
    """Return its objects, without the webhooks, whose certificates another operator would have to make."""
    folder = source("topology-operator") / "config" / "installation"
    words = [str(program("kubectl").path), "kustomize", str(folder)]
    made = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout
    watched = source("cluster-operator") / "config" / "crd" / "bases" / "rabbitmq.com_rabbitmqclusters.yaml"
    return [yaml.safe_load(watched.read_text()), *_without_webhooks(plan, yaml.safe_load_all(made))]


def _without_webhooks(plan: Plan, manifests: Iterator[Manifest]) -> Iterator[Manifest]:
    for manifest in manifests:
        if manifest["kind"] in {"ValidatingWebhookConfiguration", "Service"}:
            continue
        if manifest["kind"] == "Deployment":
            pod = manifest["spec"]["template"]["spec"]
            del pod["volumes"]
            (container,) = pod["containers"]
            del container["volumeMounts"], container["ports"]
            container["image"] = f"{plan.registry}/{IMAGE}:1"
            container["env"].append({"name": "ENABLE_WEBHOOKS", "value": "false"})
        yield manifest


def install(plan: Plan) -> None:
    """Install it and wait until it is ready; its image must be in the registry."""
    kubectl, objects = Kubectl(plan), manifests(plan)
    kubectl.apply(*(found for found in objects if found["kind"] in {"Namespace", "CustomResourceDefinition"}))
    kubectl.apply(*objects)
    kubectl.wait(f"deployment/{DEPLOYMENT}", "condition=Available", namespace=NAMESPACE, seconds=_SECONDS)


def broker(plan: Plan, namespace: str, allowed: str) -> list[Manifest]:
    """Return the broker beside the node as a service in a namespace, and its administrator's Secret.

    Args:
        plan: The cluster.
        namespace: Where both are.
        allowed: Namespaces whose objects may use the Secret, separated by commas; `*` for all.
    """
    net = plan.network
    ports = [("amqp", net.amqp), ("management", net.rabbitmq_management)]
    listed = [{"name": name, "port": port, "protocol": "TCP"} for name, port in ports]
    uri = f"http://{SERVICE}.{namespace}.svc:{net.rabbitmq_management}"
    login = {"username": brokers.ADMINISTRATOR, "password": brokers.password(plan), "uri": uri}
    secret = {
        "name": SECRET,
        "namespace": namespace,
        "labels": {"rabbitmq.com/topology-operator": "true"},
        "annotations": {"rabbitmq.com/topology-allowed-namespaces": allowed},
    }
    slices = {"name": SERVICE, "namespace": namespace, "labels": {"kubernetes.io/service-name": SERVICE}}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": SERVICE, "namespace": namespace},
            "spec": {"ports": listed},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": slices,
            "addressType": "IPv4",
            "endpoints": [{"addresses": [net.node], "conditions": {"ready": True}}],
            "ports": listed,
        },
        {"apiVersion": "v1", "kind": "Secret", "metadata": secret, "stringData": login},
    ]
