"""Objects as an API server gives them."""

from __future__ import annotations

import copy
from typing import Any

Manifest = dict[str, Any]

CREW = """
apiVersion: asya.sh/v1alpha1
kind: AsyncActor
metadata:
  name: x-sink
  labels: {app.kubernetes.io/part-of: asya, app.kubernetes.io/component: crew}
spec: {image: "ghcr.io/asya/asya-crew:0.1.0", handler: asya.crew.sink.handle}
---
apiVersion: asya.sh/v1alpha1
kind: AsyncActor
metadata:
  name: x-sump
  labels: {app.kubernetes.io/part-of: asya, app.kubernetes.io/component: crew}
spec: {image: "ghcr.io/asya/asya-crew:0.1.0", handler: asya.crew.sump.handle}
"""


def actor(
    namespace: str, name: str, *, manager: str = "kubectl", status: Manifest | None = None, **spec: Any
) -> Manifest:
    """Return an actor that `manager` wrote."""
    return {
        "apiVersion": "asya.sh/v1alpha1",
        "kind": "AsyncActor",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-of-{name}",
            "generation": 1,
            "managedFields": [{"manager": manager}],
        },
        "spec": {"image": "example.org/a:1", "handler": "a.b", **spec},
        "status": status or {},
    }


def crew_map(text: str = CREW) -> Manifest:
    """Return the ConfigMap of chart asya-crew."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "asya-crew", "namespace": "asya-system"},
        "data": {"actors.yaml": text},
    }


COMPOSED: Manifest = {
    "labels": {"asya.sh/actor": "chat", "asya.sh/transport": "rabbitmq"},
    "initContainers": [
        {
            "name": "asya-sidecar",
            "image": "ghcr.io/asya/asya-sidecar:0.1.0",
            "imagePullPolicy": "IfNotPresent",
            "restartPolicy": "Always",
            "args": ["serve", "--install", "/opt/asya"],
            "env": [
                {"name": "ASYA_SOCKET_DIR", "value": "/var/run/asya"},
                {"name": "ASYA_RESILIENCY_ACTOR_TIMEOUT", "value": "5m"},
                {"name": "ASYA_DRAIN_TIMEOUT", "value": "5m"},
                {"name": "ASYA_RABBITMQ_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "chat", "key": "password"}}},
            ],
            "startupProbe": {"httpGet": {"path": "/healthz", "port": 9090}},
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": 9090}},
            "resources": {"limits": {"memory": "64Mi"}},
            "securityContext": {"runAsNonRoot": True},
            "volumeMounts": [
                {"name": "asya-sockets", "mountPath": "/var/run/asya"},
                {"name": "asya-runtime", "mountPath": "/opt/asya"},
            ],
        }
    ],
    "volumes": [
        {"name": "asya-sockets", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "asya-runtime", "emptyDir": {"sizeLimit": "8Mi"}},
    ],
    "runtimeEnv": [{"name": "ASYA_SOCKET_DIR", "value": "/var/run/asya"}, {"name": "LOG", "value": "debug"}],
    "workload": {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "vllm",
        "port": 8000,
        "protocol": "openai",
        "path": "/",
    },
}

POD: Manifest = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "generateName": "vllm-5d8c-",
        "namespace": "shop",
        "labels": {"app": "vllm", "asya.sh/inject": "chat"},
        "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "vllm-5d8c", "uid": "u", "controller": True}
        ],
    },
    "spec": {
        "terminationGracePeriodSeconds": 600,
        "containers": [{"name": "vllm", "image": "example.org/vllm:1", "ports": [{"containerPort": 8000}]}],
        "initContainers": [{"name": "model", "image": "example.org/model:1"}],
        "volumes": [{"name": "models", "emptyDir": {}}],
    },
}


def pod(**spec: Any) -> Manifest:
    """Return a Pod of Deployment vllm that wants the sidecar of actor chat."""
    found = copy.deepcopy(POD)
    found["spec"].update(spec)
    return found
