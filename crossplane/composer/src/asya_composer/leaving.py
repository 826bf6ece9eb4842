"""Leaving a transport: what stays there is worked off, down to no replica.

It never stands in the way of what shall be: where a broker's rule, or settings that are gone, forbid to compose the old
set, it stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from asya_composer import actor_set
from asya_composer.actor_set import full_key, kept, own_keys
from asya_composer.builders.deployment import KEY as DEPLOYMENT
from asya_composer.builders.scaled_object import KEY as SCALER
from asya_composer.builders.scaled_object import scaled_object
from asya_composer.errors import CompositionError
from asya_composer.model import Condition, Context, Manifest, Resource, Seen, Waiting
from asya_composer.moving import LEFT, Needed
from asya_composer.retries import longest_waits
from asya_composer.settings import TransportName
from asya_composer.transports import transport

MOVED = "TransportMoved"
_OLD_NEWS: Mapping[TransportName, int] = {"pubsub": 300, "rabbitmq": 15, "sqs": 60}
"""Seconds after which a broker's number of messages is true at the latest: until then none may have been left.

Pub/Sub: Cloud Monitoring's delay. RabbitMQ: its statistics are taken every 5 s and kept for as long. SQS: its numbers
need a minute after the last message was sent (Amazon SQS API Reference, GetQueueAttributes).
"""
_PAUSED = "autoscaling.keda.sh/paused"


def leave(
    context: Context, needed: Mapping[TransportName, Needed], observed: Mapping[str, Seen], now: Mapping[str, Resource]
) -> tuple[dict[str, Resource], Condition]:
    """Return `now` and what stays of transports that are still `needed` (by why they are), and what is told of it."""
    resources = dict(now)
    told: list[str] = []
    for name, (why, unscaled) in needed.items():
        old = replace(context, transport=name, observed=own_keys(observed, name))
        try:
            stays = actor_set.compose(_draining(old)).resources
            told.append(f"what is on {name} stays: {why}")
        except CompositionError as error:
            stays = _as_it_is(old, str(error), stop=unscaled)
            told.append(f"what is on {name} stays as it is ({error}): {why}")
        for each in stays:
            if each.later:
                continue
            key = full_key(each.key, name)
            told_so = replace(each, manifest=_annotated(each.manifest, {LEFT: "true"})) if each.key == SCALER else each
            resources[key] = _for_both(resources[key], told_so) if key in resources else told_so
    if told:
        return resources, Condition(MOVED, "False", "Draining", "; ".join(told))
    return resources, Condition(MOVED, "True", "Moved")


def _for_both(new: Resource, old: Resource) -> Resource:
    """Return what both sets have, such as the service account, so that the old pods keep their identity too."""
    annotations = {**_annotations(old.manifest), **_annotations(new.manifest)}
    return replace(new, manifest=_annotated(new.manifest, annotations)) if annotations else new


def _annotated(manifest: Manifest, annotations: Mapping[str, str]) -> Manifest:
    more = {**_annotations(manifest), **annotations}
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": more}}


def _annotations(manifest: Manifest) -> Mapping[str, Any]:
    found: Mapping[str, Any] = manifest["metadata"].get("annotations") or {}
    return found


def _draining(context: Context) -> Context:
    """Return the actor as it works off what is left; what not every broker knows is left out."""
    scaling, patience = context.actor.spec.scaling, _patience(context)
    drained = scaling.model_copy(
        update={
            "enabled": True,
            "min_replica_count": 0,
            "idle_replica_count": None,
            "cooldown_period": max(scaling.cooldown_period, patience),
            # For a scaler that is made for the move, and has seen nothing yet.
            "initial_cooldown_period": patience,
            "paused": False,
            "paused_replica_count": None,
            "scale_on_in_flight": True,
            # Messages that are left must all count. At SQS delayed ones do when asked for; on Pub/Sub, in any case.
            "activation_queue_length": 0,
            "scale_on_delayed": context.transport == "sqs",
            "additional_triggers": [],
            "fallback": None,
            "advanced": context.actor.spec.scaling.advanced.model_copy(
                update={"formula": None, "target": None, "activation_target": None, "metric_type": None}
            ),
        }
    )
    spec = context.actor.spec.model_copy(update={"scaling": drained})
    return replace(context, actor=context.actor.model_copy(update={"spec": spec}))


def _patience(context: Context) -> int:
    """Return for how many seconds nothing must be seen on what is left until nothing can be there any more.

    What waits for a retry at RabbitMQ is in no queue of its actor, and may come, fail and wait again between two looks:
    so it is waited for as long as the retries of one message can.
    """
    old_news = _OLD_NEWS[context.transport]
    if context.transport != "rabbitmq":
        return old_news
    waits = longest_waits(context.actor.resiliency())
    return math.ceil(waits) + context.actor.spec.scaling.polling_interval + old_news


def _as_it_is(old: Context, why: str, *, stop: bool) -> list[Resource]:
    """Return what exists, but on its way to zero.

    The autoscaler takes it there. A fixed number of replicas gets one; where that cannot be made either, nobody can
    tell whether the queue is empty: the pods `stop` when nothing else is at work, and what they leave stays there.
    """
    there = kept(old.observed, (), why)
    if old.observed.get(SCALER) is not None:
        least = _patience(old)
        return [
            replace(each, manifest=_down_to_zero(each.manifest, least)) if each.key == SCALER else each
            for each in there
        ]
    scaled = _scaler(old)
    if scaled or not stop:
        made = {each.key for each in scaled}
        return [*(each for each in there if each.key not in made), *scaled]
    return [replace(each, manifest=_stopped(each.manifest)) if each.key == DEPLOYMENT else each for each in there]


def _scaler(old: Context) -> list[Resource]:
    if old.observed.get(DEPLOYMENT) is None:
        return []
    try:
        trigger = transport(old.transport).trigger(_draining(old))
    except CompositionError:
        return []
    return [] if isinstance(trigger, Waiting) else scaled_object(_draining(old), trigger)


def _stopped(deployment: Manifest) -> Manifest:
    before = deployment.get("spec")
    return {**deployment, "spec": {**(before if isinstance(before, Mapping) else {}), "replicas": 0}}


def _down_to_zero(scaler: Manifest, patience: int) -> Manifest:
    before = scaler.get("spec")
    items = before.items() if isinstance(before, Mapping) else ()
    spec = {name: value for name, value in items if name != "idleReplicaCount"}
    annotations = {name: value for name, value in _annotations(scaler).items() if not name.startswith(_PAUSED)}
    metadata = {**scaler["metadata"], "annotations": annotations}
    cooldown = max(spec.get("cooldownPeriod", patience), patience)
    return {**scaler, "metadata": metadata, "spec": {**spec, "minReplicaCount": 0, "cooldownPeriod": cooldown}}
