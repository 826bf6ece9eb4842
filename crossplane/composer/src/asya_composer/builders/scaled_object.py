"""ScaledObject and TriggerAuthentication: KEDA's view of the actor (keda.sh/v1alpha1)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from asya.api.scaling import ScalingBehavior, ScalingDirection, ScalingSpec
from asya_composer import kinds, names
from asya_composer.builders.containers import without_nothing
from asya_composer.builders.environment import dump
from asya_composer.model import Context, Manifest, Resource, Seen, Trigger
from asya_composer.objects import by_condition, by_existence, make
from asya_composer.settings import TRANSPORTS, TransportName

KEY, AUTHENTICATION_KEY = "scaled-object", "trigger-authentication"
TRIGGER_NAME = "queue"


def scalers(observed: Mapping[str, Seen], leaving: Sequence[TransportName]) -> Sequence[TransportName]:
    """Return the transports whose ScaledObject comes first: those that have one, else the first that is left."""
    return [name for name in TRANSPORTS if f"{name}-{KEY}" in observed] or leaving[:1]


def scaled_object(context: Context, trigger: Trigger) -> list[Resource]:
    """Return how the actor is scaled; nothing while `scaling.enabled` is false.

    A workload that the actor is bound to is the same on each transport, and KEDA lets one ScaledObject scale it: that
    of the new transport waits until the old one is gone.
    """
    scaling = context.actor.spec.scaling
    if not scaling.enabled:
        return []
    name = names.workload(context)
    own: Manifest = {"type": trigger.type, "name": TRIGGER_NAME, "metadata": dict(trigger.metadata)}
    found: list[Resource] = []
    if trigger.authentication is not None:
        own["authenticationRef"] = {"name": name, "kind": "TriggerAuthentication"}
        authentication = make(context, kinds.TRIGGER_AUTHENTICATION, name, trigger.authentication)
        found.append(by_existence(AUTHENTICATION_KEY, "autoscaler", authentication, context.observed))
    first = _first(context)
    if first is not None:
        why = f"ScaledObject {name} waits until {first} is left, by which {names.scale_target(context)} is scaled still"
        return [replace(each, ready=False, why=why) for each in found]
    spec = {
        "scaleTargetRef": _target(context),
        "minReplicaCount": scaling.min_replica_count,
        "maxReplicaCount": scaling.max_replica_count,
        "idleReplicaCount": scaling.idle_replica_count,
        "pollingInterval": scaling.polling_interval,
        "cooldownPeriod": _cooldown(context),
        "initialCooldownPeriod": scaling.initial_cooldown_period,
        "fallback": None if scaling.fallback is None else dump(scaling.fallback),
        "advanced": _advanced(context),
        "triggers": [own, *(dump(each) for each in scaling.additional_triggers)],
    }
    spec = {key: value for key, value in spec.items() if value is not None}
    manifest = make(context, kinds.SCALED_OBJECT, name, spec, annotations=_annotations(scaling))
    return [*found, by_condition(KEY, "autoscaler", manifest, context.observed)]


def _first(context: Context) -> TransportName | None:
    """Return the transport by which the same workload is scaled already, None when there is none."""
    if context.actor.spec.workload_ref is None or context.transport in context.scalers:
        return None
    return next(iter(context.scalers), None)


def _target(context: Context) -> Manifest:
    reference = context.actor.spec.workload_ref
    version, kind = ("apps/v1", "Deployment") if reference is None else (reference.api_version, reference.kind)
    return {"apiVersion": version, "kind": kind, "name": names.scale_target(context)}


def _cooldown(context: Context) -> int:
    """Where calls under way are not counted, the queue looks idle during one: wait at least as long as a call takes."""
    scaling = context.actor.spec.scaling
    if scaling.scale_on_in_flight:
        return scaling.cooldown_period
    return max(scaling.cooldown_period, math.ceil(context.actor.resiliency().actor_timeout))


def _annotations(scaling: ScalingSpec) -> dict[str, str]:
    found = {}
    if scaling.paused:
        found["autoscaling.keda.sh/paused"] = "true"
    if scaling.paused_replica_count is not None:
        found["autoscaling.keda.sh/paused-replicas"] = str(scaling.paused_replica_count)
    return found


def _advanced(context: Context) -> Manifest:
    advanced, platform = context.actor.spec.scaling.advanced, context.settings.scaling.behavior
    found: Manifest = {"horizontalPodAutoscalerConfig": {"behavior": _behavior(advanced.behavior, platform)}}
    if advanced.restore_to_original_replica_count:
        # KEDA takes false out again, and each of the two writes starts its look at the queue anew.
        found["restoreToOriginalReplicaCount"] = True
    if advanced.formula is not None:
        modifiers = {
            "formula": advanced.formula,
            "target": advanced.target,
            "activationTarget": advanced.activation_target,
            "metricType": advanced.metric_type,
        }
        found["scalingModifiers"] = without_nothing(modifiers)
    return found


def _behavior(own: ScalingBehavior, platform: ScalingBehavior) -> Manifest:
    return {
        "scaleUp": _direction(own.scale_up, platform.scale_up),
        "scaleDown": _direction(own.scale_down, platform.scale_down),
    }


def _direction(own: ScalingDirection, platform: ScalingDirection) -> Manifest:
    """What the actor says counts, then what the platform says; defaults are neither's word."""
    return {"selectPolicy": own.select_policy, **_said(platform), **_said(own)}


def _said(direction: ScalingDirection) -> Manifest:
    return without_nothing(direction.model_dump(mode="json", by_alias=True, exclude_unset=True))
