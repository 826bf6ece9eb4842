"""Requests as Crossplane sends them to the composition function: actors on RabbitMQ with their neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crossplane.function.proto.v1 import run_function_pb2 as fnv1
from tests.compose.calls import Answer, actor, as_observed, platform

from asya_composer.structs import fill

CREATED = "2026-01-01T00:00:00Z"
FEW, MANY = 20, 1000
"""Neighbours of an ordinary namespace, and of a large one."""


def composite(number: int) -> dict[str, Any]:
    """One of the actors: a handler with two variables, resources and a retry policy of its own."""
    return actor(
        f"actor-{number}",
        metadata={"creationTimestamp": CREATED, "uid": f"{number:08d}", "labels": {"team": "vision"}},
        env=[{"name": "MODEL", "value": "resnet"}, {"name": "DEVICE", "value": "cpu"}],
        resources={"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
        scaling={"minReplicaCount": 0, "maxReplicaCount": 20, "queueLength": 10},
        resiliency={"actorTimeout": "5m", "policies": {"default": {"maxAttempts": 3}}},
    )


def neighbourhood(count: int) -> fnv1.RunFunctionRequest:
    """Everything of a request that is the same for all actors of a namespace."""
    request = fnv1.RunFunctionRequest()
    fill(request.input, platform())
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    for number in range(count):
        fill(request.required_resources["actors"].items.add().resource, {**composite(number), "status": status})
    request.required_resources["exchange"].SetInParent()
    return request


def of_actor(
    number: int, shared: fnv1.RunFunctionRequest, observed: Mapping[str, dict[str, Any]] | None = None
) -> fnv1.RunFunctionRequest:
    """The request for one actor, of which `observed` is there."""
    request = fnv1.RunFunctionRequest()
    request.CopyFrom(shared)
    fill(request.observed.composite.resource, composite(number))
    for key, manifest in (observed or {}).items():
        fill(request.observed.resources[key].resource, manifest)
    return request


def there(response: fnv1.RunFunctionResponse) -> dict[str, dict[str, Any]]:
    """What the cluster shows once everything of an answer exists.

    Raises:
        RuntimeError: The actor was refused.
    """
    answer = Answer(response)
    if answer.refused:
        raise RuntimeError(answer.refused[0])
    return as_observed(answer)


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Median and 99th percentile in milliseconds."""
    ordered = sorted(seconds)
    return {"p50": ordered[len(ordered) // 2] * 1e3, "p99": ordered[int(len(ordered) * 0.99)] * 1e3}
