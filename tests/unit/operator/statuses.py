"""Pods of an actor as kubelet 1.34 and the scheduler write their statuses (`kubectl get pod -o json`)."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.unit.operator.objects import Manifest

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
IMAGE = "registry.example.org/team/resize:1.4"
SIDECAR_IMAGE = "ghcr.io/asya/asya-sidecar:0.1.0"
IMPORT_ERROR = "cannot import handler 'app.process': ModuleNotFoundError: No module named 'torch'"


def ago(**spans: float) -> str:
    """Return a time before now as Kubernetes writes it."""
    return (NOW - timedelta(**spans)).strftime("%Y-%m-%dT%H:%M:%SZ")


def running(name: str, image: str, **changes: Any) -> Manifest:
    """Return the status of a container that runs well."""
    return {
        "name": name,
        "image": image,
        "imageID": f"{image}@sha256:{'0' * 64}",
        "containerID": f"containerd://{'1' * 64}",
        "ready": True,
        "restartCount": 0,
        "started": True,
        "lastState": {},
        "state": {"running": {"startedAt": ago(hours=1)}},
        **changes,
    }


def waiting(name: str, image: str, reason: str, message: str = "", **changes: Any) -> Manifest:
    """Return the status of a container that waits."""
    state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
    return running(name, image, ready=False, started=False, imageID="", **{"state": state, **changes})


def ended(code: int, message: str = "", reason: str = "Error", **span: float) -> Manifest:
    """Return how a container ended."""
    found = {
        "exitCode": code,
        "reason": reason,
        "startedAt": ago(minutes=3),
        "finishedAt": ago(**(span or {"minutes": 2})),
    }
    return {
        "terminated": {**found, "containerID": f"containerd://{'2' * 64}", **({"message": message} if message else {})}
    }


def handler(**changes: Any) -> Manifest:
    return running("asya-runtime", IMAGE, **changes)


def sidecar(**changes: Any) -> Manifest:
    return running("asya-sidecar", SIDECAR_IMAGE, **changes)


def handler_waits(reason: str, message: str = "", **changes: Any) -> Manifest:
    return waiting("asya-runtime", IMAGE, reason, message, **changes)


def sidecar_waits(reason: str, message: str = "", **changes: Any) -> Manifest:
    return waiting("asya-sidecar", SIDECAR_IMAGE, reason, message, **changes)


def crashing(last: Manifest, **changes: Any) -> Manifest:
    """Return the status of a handler that the kubelet starts again later."""
    pause = "back-off 1m20s restarting failed container=asya-runtime pod=resize-rabbitmq-7f9c-abcde_shop(0a1b)"
    return handler_waits("CrashLoopBackOff", pause, lastState=last, restartCount=4, **changes)


def condition(kind: str, status: str, since: str, reason: str = "", message: str = "") -> Manifest:
    found = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": since}
    return {**found, **({"reason": reason} if reason else {}), **({"message": message} if message else {})}


def pod(
    handler_status: Manifest | None = None,
    sidecar_status: Manifest | None = None,
    *conditions: Manifest,
    **changes: Any,
) -> Manifest:
    """Return a Pod of actor shop/resize; without statuses it runs well."""
    given = {each["type"]: each for each in conditions}
    usual = [
        condition("PodReadyToStartContainers", "True", ago(hours=1)),
        condition("Initialized", "True", ago(hours=1)),
        condition("Ready", "True", ago(hours=1)),
        condition("ContainersReady", "True", ago(hours=1)),
        condition("PodScheduled", "True", ago(hours=1)),
    ]
    resources = {"limits": {"memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "256Mi"}}
    found: Manifest = {
        "metadata": {
            "name": "resize-rabbitmq-7f9c-abcde",
            "namespace": "shop",
            "uid": "0a1b",
            "creationTimestamp": ago(hours=1),
            "labels": {"asya.sh/actor": "resize", "asya.sh/transport": "rabbitmq", "pod-template-hash": "7f9c"},
        },
        "spec": {
            "initContainers": [{"name": "asya-sidecar", "image": SIDECAR_IMAGE, "restartPolicy": "Always"}],
            "containers": [{"name": "asya-runtime", "image": IMAGE, "resources": resources}],
        },
        "status": {
            "phase": "Running",
            "startTime": ago(hours=1),
            "conditions": [given.get(each["type"], each) for each in usual],
            "initContainerStatuses": [sidecar_status or sidecar()],
            "containerStatuses": [handler_status or handler()],
        },
    }
    for part, values in copy.deepcopy(changes).items():
        found[part].update(values)
    return found


def unscheduled(**since: float) -> Manifest:
    """Return a Pod that no node takes."""
    message = (
        "0/3 nodes are available: 1 node(s) had untolerated taint {gpu: true}, 2 Insufficient nvidia.com/gpu. "
        "preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling."
    )
    found = pod()
    found["status"] = {
        "phase": "Pending",
        "conditions": [condition("PodScheduled", "False", ago(**since), "Unschedulable", message)],
    }
    return found
