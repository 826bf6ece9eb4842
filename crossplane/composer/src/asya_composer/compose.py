"""From what is asked for and what exists to what shall exist. Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from asya_composer import actor_set, conditions, flavors
from asya_composer.actor_set import full_key
from asya_composer.builders.scaled_object import scalers
from asya_composer.collisions import refuse_shared_queue
from asya_composer.composite import Claim, actor
from asya_composer.errors import CompositionError
from asya_composer.leaving import leave
from asya_composer.model import Condition, Context, Manifest, Resource, Seen
from asya_composer.moving import Needed, Old, leaving, still_needed
from asya_composer.neighbours import (
    Neighbour,
    Neighbourhood,
    crew_ready,
    namespaces_on,
    refuse_double,
    refuse_second_crew,
    refuse_shared_workload,
    transport_mixed,
)
from asya_composer.objects import ACTOR, held
from asya_composer.requirements import wanted_transport
from asya_composer.reserved import refuse_reserved
from asya_composer.settings import Settings, TransportName

CREW_LABEL = "asya.sh/crew"


@dataclass(frozen=True, slots=True)
class Found:
    """What the cluster had of the requirements. None: not answered yet.

    Attributes:
        flavors: EnvironmentConfig by the flavor's name; one that does not exist is left out.
        neighbours: The actors of the namespace, this one among them, where all must be known.
        elsewhere: Otherwise, names of those that are scaled on other transports.
        crew: x-sink and x-sump, where they are to be.
        everywhere: All actors of the cluster; known to the crew that serves them all.
        rivals: Actors of namespaces in which one could share a queue with this one.
        exchanges: Identity of the objects that have made exchanges on RabbitMQ, by name: the namespace's; to the crew
            of all, all.
        old: ScaledObjects and Deployments of the namespace by the transport that is being left.
        workload: Somebody else's workload that the actor is bound to.
    """

    flavors: Mapping[str, Seen] | None = None
    neighbours: Neighbourhood | None = None
    elsewhere: Mapping[TransportName, Sequence[str]] | None = None
    crew: Sequence[Neighbour] | None = None
    everywhere: Sequence[Neighbour] | None = None
    rivals: Sequence[Neighbour] = ()
    exchanges: Mapping[str, str] = field(default_factory=dict)
    old: Mapping[TransportName, Old] = field(default_factory=dict)
    workload: Seen | None = None


@dataclass(frozen=True, slots=True)
class Composition:
    """What shall exist, what of it is left for `later`, and what people are told."""

    resources: Mapping[str, Resource]
    status: Manifest
    conditions: Sequence[Condition]
    later: Mapping[str, Resource] = field(default_factory=dict)


def compose(
    claim: Claim, composite: Manifest, observed: Mapping[str, Seen], settings: Settings, found: Found, now: datetime
) -> Composition:
    """Return everything of an actor, as it shall be at the time `now`.

    Raises:
        CompositionError: The actor, a flavor or the platform's settings are wrong; nothing is to be changed then.
    """
    refuse_second_crew(claim, settings.crew_namespace)
    resolved = _resolve(claim, found)
    if isinstance(resolved, Condition):
        return _unchanged(composite, observed, resolved)
    if found.neighbours is not None:
        refuse_double(claim, found.neighbours.known)
        refuse_shared_workload(claim, resolved, found.neighbours.known)
    created = (composite.get("metadata") or {}).get("creationTimestamp") or ""
    refuse_shared_queue(claim, created, found.rivals)
    name = wanted_transport(claim, settings)
    wanted = actor(claim, resolved)
    refuse_reserved(wanted, settings)
    context = Context(
        actor=wanted,
        composite=composite,
        namespace=claim.namespace,
        transport=name,
        labels=_labels(claim),
        settings=settings,
        observed=actor_set.own_keys(observed, name),
        neighbours=() if found.neighbours is None else found.neighbours.actors,
        served=namespaces_on("rabbitmq", found.everywhere or (), settings.default_transport),
        exchanges=found.exchanges,
        scalers=scalers(observed, leaving(observed, name)),
        workload=found.workload,
    )
    composed_set = actor_set.compose(context)
    whole = {full_key(each.key, name): each for each in composed_set.resources}
    composed = {key: each for key, each in whole.items() if not each.later}
    resources, moved = leave(context, _still_needed(context, observed, found, now), observed, composed)
    used = claim.flavors
    return Composition(
        resources,
        conditions.status(context, composed_set.resources, composed_set.queue, used, _generation(composite)),
        [
            *conditions.of_parts(composed_set.resources, scaled=context.actor.spec.scaling.enabled),
            conditions.flavors_resolved(used),
            *_about_others(context, found),
            moved,
        ],
        later={key: each for key, each in whole.items() if each.later},
    )


def refuse(composite: Manifest, observed: Mapping[str, Seen], error: CompositionError) -> Composition:
    """Return what exists, as it is, and why the actor cannot be composed."""
    kind = conditions.FLAVORS if error.field == flavors.FIELD else conditions.WORKLOAD
    return _unchanged(composite, observed, Condition(kind, "False", conditions.REFUSED, str(error)))


def _unchanged(composite: Manifest, observed: Mapping[str, Seen], why: Condition) -> Composition:
    kept = {key: held(key, "workload", manifest, why.message) for key, manifest in observed.items()}
    if why.status == "False":
        return Composition(kept, conditions.refused(composite, _generation(composite), why.message), [why])
    return Composition(kept, conditions.unchanged(composite, "Creating", why.message), [why])


def _generation(composite: Manifest) -> int:
    return int((composite.get("metadata") or {}).get("generation") or 0)


def _resolve(claim: Claim, found: Found) -> dict[str, Any] | Condition:
    """Return the effective spec, or what of the flavors is not there."""
    names = claim.flavors
    if not names:
        return dict(claim.spec)
    if found.flavors is None:
        return Condition(conditions.FLAVORS, "Unknown", "Reading", "flavors are being read")
    missing = [name for name in names if name not in found.flavors]
    if missing:
        message = f"spec.flavors: there is no EnvironmentConfig {', '.join(map(repr, missing))}"
        return Condition(conditions.FLAVORS, "False", conditions.FLAVOR_MISSING, message)
    return flavors.merge([flavors.read(name, found.flavors[name]) for name in names], claim.spec)


def _labels(claim: Claim) -> dict[str, str]:
    return {
        **claim.labels,
        "app.kubernetes.io/name": claim.actor,
        "app.kubernetes.io/component": "actor",
        "app.kubernetes.io/part-of": "asya",
        "app.kubernetes.io/managed-by": "asya",
        ACTOR: claim.actor,
    }


def _still_needed(
    context: Context, observed: Mapping[str, Seen], found: Found, now: datetime
) -> dict[TransportName, Needed]:
    """Return the transports that the actor leaves and that must stay for now, with the reasons."""
    default = context.settings.default_transport
    reasons = {
        name: still_needed(name, found.old.get(name), found.neighbours, default, now)
        for name in leaving(observed, context.transport)
    }
    return {name: why for name, why in reasons.items() if why is not None}


def _about_others(context: Context, found: Found) -> list[Condition]:
    told, default = [], context.settings.default_transport
    elsewhere = found.elsewhere if found.neighbours is None else found.neighbours.on(default)
    if elsewhere is not None:
        told.append(transport_mixed(context.transport, elsewhere))
    if found.crew is not None and context.labels.get(CREW_LABEL) != "true":
        namespace = context.settings.crew_namespace or context.namespace
        told.append(crew_ready(found.crew, namespace, context.transport, default))
    return told
