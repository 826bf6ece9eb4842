"""Queues that RabbitMQ has no more, while their objects stay. Pure.

The topology operator (1.16) deletes a quorum queue, posts an event that it has, and takes its finalizer off the object.
When somebody has written the object meanwhile, as Kubernetes' garbage collector does after each foreground deletion,
that last step is refused. It begins anew then by asking the broker whether the queue is empty, hears that there is
none, and tries for ever; a queue of the same name is not made until the object is gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from asya.operator.identity import Manifest

FINALIZER = "deletion.finalizers.queues.rabbitmq.com"
DELETED = "SuccessfulDelete"
"""Reason of the event. (Source: messaging-topology-operator 1.16, controllers/topology_controller.go.)"""
PATIENCE = timedelta(seconds=5)
"""So long its own operator has for it."""


def leaving(queues: Iterable[Manifest]) -> list[Manifest]:
    """Return the objects that are being deleted and that the topology operator holds."""
    return [each for each in queues if "deletionTimestamp" in each["metadata"] and FINALIZER in _finalizers(each)]


def is_late(queue: Manifest, now: datetime) -> bool:
    """Tell whether an object that is leaving could be gone by now."""
    return now - datetime.fromisoformat(queue["metadata"]["deletionTimestamp"]) >= PATIENCE


def released(queue: Manifest) -> list[str]:
    """Return the finalizers without the topology operator's."""
    return [each for each in _finalizers(queue) if each != FINALIZER]


def _finalizers(queue: Manifest) -> list[str]:
    found: list[str] = queue["metadata"].get("finalizers", [])
    return found
