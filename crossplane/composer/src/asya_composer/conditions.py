"""What people are told about an actor: conditions by part, a phase, and the rest of `status`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from asya_composer.builders.deployment import CHECKSUM
from asya_composer.builders.deployment import KEY as DEPLOYMENT
from asya_composer.model import Condition, Context, Manifest, Observed, Part, QueueStatus, Resource
from asya_composer.neighbours import TRANSPORT_MIXED

QUEUE, IDENTITY, AUTOSCALER, WORKLOAD = "QueueReady", "IdentityReady", "AutoscalerReady", "WorkloadReady"
FLAVORS = "FlavorsResolved"
REFUSED, FLAVOR_MISSING = "Refused", "FlavorMissing"
"""Reasons for which nothing is composed."""
PARTS: dict[Part, str] = {"queue": QUEUE, "identity": IDENTITY, "autoscaler": AUTOSCALER, "workload": WORKLOAD}
NOT_SCALED = Condition(AUTOSCALER, "True", "Disabled", "spec.scaling.enabled is false")


def of_parts(resources: Sequence[Resource], *, scaled: bool) -> list[Condition]:
    """Return a condition per part: true when all its resources are ready, else with the first reasons."""
    found = []
    for part, kind in PARTS.items():
        if part == "autoscaler" and not scaled:
            found.append(NOT_SCALED)
            continue
        found.append(_of_part(kind, [each for each in resources if each.part == part]))
    return found


def flavors_resolved(names: Sequence[str]) -> Condition:
    """Return the condition of an actor whose flavors are all there."""
    return Condition(FLAVORS, "True", "Resolved" if names else "NoFlavors", ", ".join(names))


def phase(resources: Sequence[Resource], replicas: int) -> str:
    """Return the one word for an actor: Degraded, Creating, Napping (ready, with no replica) or Ready."""
    if any(each.error for each in resources):
        return "Degraded"
    if not all(each.ready for each in resources):
        return "Creating"
    return "Ready" if replicas else "Napping"


def status(
    context: Context, resources: Sequence[Resource], queue: QueueStatus, flavors: Sequence[str], generation: int
) -> Manifest:
    """Return `status` without its conditions."""
    replicas = _count(context, "replicas")
    errors = [each.error for each in resources if each.error]
    found: Manifest = {
        "phase": phase(resources, replicas),
        "observedGeneration": generation,
        "transport": context.transport,
        "queueIdentifier": queue.identifier,
        "replicas": replicas,
        "readyReplicas": _count(context, "readyReplicas"),
        "flavors": list(flavors),
        # Always there, as a field that is left out would keep its old value.
        "message": errors[0] if errors else "",
        "infrastructure": {
            "queue": _summary(resources, "queue"),
            "keda": _summary(resources, "autoscaler"),
            "workload": _summary(resources, "workload"),
        },
    }
    if queue.url is not None:
        found["queueUrl"] = queue.url
    annotations = [each.manifest["metadata"].get("annotations", {}) for each in resources if each.part == "workload"]
    checksum = next((each[CHECKSUM] for each in annotations if CHECKSUM in each), None)
    if checksum is not None:
        found["checksum"] = checksum
    return found


def unchanged(composite: Manifest, phase: str, message: str) -> Manifest:
    """Return `status` of an actor that is left as it is: what was said of it, with another phase and message."""
    before = composite.get("status")
    kept = {name: before[name] for name in _OF_WHAT_EXISTS if name in before} if isinstance(before, Mapping) else {}
    return {**kept, "phase": phase, "message": message}


def refused(composite: Manifest, generation: int, message: str) -> Manifest:
    """Return `status` of an actor that is left as it is because this generation of it cannot be composed.

    Flux and kubectl wait for the generation to be looked at; without it a refusal would be a timeout to them.
    """
    return {**unchanged(composite, "Degraded", message), "observedGeneration": generation}


_OF_WHAT_EXISTS = (
    "observedGeneration",
    "transport",
    "queueIdentifier",
    "queueUrl",
    "replicas",
    "readyReplicas",
    "flavors",
    "checksum",
    "infrastructure",
)


def _of_part(kind: str, resources: Sequence[Resource]) -> Condition:
    errors = [each.error for each in resources if each.error]
    waiting = [each.why for each in resources if not each.ready]
    if errors:
        return Condition(kind, "False", "Failed", "; ".join(errors[:3]))
    if waiting or not resources:
        return Condition(kind, "False", "Creating", "; ".join(waiting[:3]) or "not composed yet")
    return Condition(kind, "True", "Available")


def _summary(resources: Sequence[Resource], part: Part) -> Manifest:
    waiting = [each.error or each.why for each in resources if each.part == part and not each.ready]
    return {"ready": not waiting, "message": "; ".join(waiting[:3])}


def _count(context: Context, name: str) -> int:
    if context.actor.spec.workload_ref is None:
        return context.observed.number(DEPLOYMENT, "status", name)
    return 0 if context.workload is None else Observed({"": context.workload}).number("", "status", name)


def all_is_well(told: Iterable[Condition]) -> bool:
    """Tell whether nothing is waited for, and nothing is wrong."""
    return all((each.status == "True") != (each.type == TRANSPORT_MIXED) for each in told)
