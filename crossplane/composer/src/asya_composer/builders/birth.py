"""The birth of a Deployment: no pod before there is what pods need, and none that the autoscaler would take away again.

A paused Deployment that has had no ReplicaSet makes none, and so no pod, while an autoscaler can set its number of
replicas. Without the autoscaler's word it has one. (Source: Kubernetes, deployment controller, `sync`; KEDA 2.20,
scale_scaledobjects.go, RequestScale.)
"""

from __future__ import annotations

from collections.abc import Sequence

from asya_composer import names
from asya_composer.builders.rollout import KEY
from asya_composer.builders.scaled_object import KEY as SCALER
from asya_composer.model import Context, Seen
from asya_composer.ownership import is_paused_by_us

_SHOWN = 3


def is_born(deployment: Seen | None) -> bool:
    """Tell whether the Deployment may have had pods."""
    return deployment is not None and not is_paused_by_us(deployment)


def waits_for(context: Context, needs: Sequence[str]) -> str:
    """Say what the first pods wait for; empty once they may start, and for good then.

    `needs` is what queue and identity lack.
    """
    if is_born(context.observed.get(KEY)):
        return ""
    if needs:
        return f"the first pods wait: {'; '.join(needs[:_SHOWN])}"
    return _undecided(context) if context.actor.spec.scaling.enabled else ""


def _undecided(context: Context) -> str:
    """Say that the autoscaler has not told yet how many pods there shall be; empty once it has."""
    told, name, scaling = context.observed.conditions(SCALER), names.workload(context), context.actor.spec.scaling
    true = {kind for kind, condition in told.items() if condition.is_true}
    if true & {"Active", "Fallback"}:
        return ""
    if "Ready" not in true:
        return f"the first pods wait: ScaledObject {name} is not ready yet"
    # While it cools down, or is told to leave the number as it is, KEDA takes no pod away.
    cools = "Active" in told and told["Active"].reason == "ScalerCooldown"
    if cools or ("Paused" in true and scaling.paused_replica_count is None):
        return ""
    replicas = context.observed.at(KEY, "spec", "replicas")
    if isinstance(replicas, int) and replicas <= _least(context):
        return ""
    return f"the first pods wait: KEDA has not decided by ScaledObject {name} how many"


def _least(context: Context) -> int:
    """Return how many replicas KEDA leaves an actor for which nothing waits."""
    scaling = context.actor.spec.scaling
    for given in (scaling.paused_replica_count, scaling.idle_replica_count):
        if given is not None:
            return given
    return scaling.min_replica_count
