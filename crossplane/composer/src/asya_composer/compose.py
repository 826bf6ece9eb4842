"""From what is asked for and what exists to what shall exist. Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from asya.api.rules_mesh import TERMINAL_ACTORS
from asya_composer import actor_set, conditions, flavors, kinds, names
from asya_composer.actor_set import ActorSet, full_key
from asya_composer.collisions import refuse_shared_queue, rivals
from asya_composer.composite import Claim, actor
from asya_composer.kinds import Kind
from asya_composer.model import Condition, Context, Manifest, Observed, Resource, Seen
from asya_composer.moving import Old, leaving, still_needed
from asya_composer.neighbours import (
    Neighbour,
    crew_ready,
    namespaces_on,
    refuse_double,
    refuse_second_crew,
    transport_mixed,
)
from asya_composer.objects import ACTOR, TRANSPORT, held
from asya_composer.settings import Settings, TransportName

CREW_LABEL = "asya.sh/crew"
ACTORS, CREW, EVERYWHERE, EXCHANGE, RIVALS = "actors", "crew", "everywhere", "exchange", "rivals-"


@dataclass(frozen=True, slots=True)
class Requirement:
    """Objects that are asked for: one by `name`, or all with `labels` in `namespace`; without one, in all of them."""

    kind: Kind
    name: str | None = None
    labels: Mapping[str, str] | None = None
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What the cluster had of the requirements. None: not answered yet.

    Attributes:
        flavors: EnvironmentConfig by the flavor's name; one that does not exist is left out.
        neighbours: The actors of the namespace, this one among them.
        crew: The actors of the crew's namespace, where there is one.
        everywhere: All actors of the cluster; known to the crew that serves them all.
        rivals: Actors of namespaces in which one could share a queue with this one.
        exchange: Identity of the object that makes the namespace's exchange on RabbitMQ, empty when there is none.
        old: ScaledObjects and Deployments of the namespace by the transport that is being left.
    """

    flavors: Mapping[str, Seen] | None = None
    neighbours: Sequence[Neighbour] | None = None
    crew: Sequence[Neighbour] | None = None
    everywhere: Sequence[Neighbour] | None = None
    rivals: Sequence[Neighbour] = ()
    exchange: str = ""
    old: Mapping[TransportName, Old] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Composition:
    """What shall exist, and what people are told."""

    resources: Mapping[str, Resource]
    status: Manifest
    conditions: Sequence[Condition]


def wanted_transport(claim: Claim, settings: Settings) -> TransportName:
    """Return the transport that the actor shall be on."""
    named = claim.spec.get("transport")
    return named if named in ("rabbitmq", "sqs", "pubsub") else settings.default_transport


def serves_all(claim: Claim, settings: Settings) -> bool:
    """Tell whether this is the crew of all namespaces, on the transport where it has to know them."""
    on_rabbitmq = wanted_transport(claim, settings) == "rabbitmq"
    return on_rabbitmq and claim.actor in TERMINAL_ACTORS and settings.crew_namespace == claim.namespace


def requirements(claim: Claim, observed: Mapping[str, Seen], settings: Settings) -> dict[str, Requirement]:
    """Return what must be known besides; the same for the same request, whatever has been answered."""
    found = {f"flavor-{name}": Requirement(kinds.ENVIRONMENT_CONFIG, name=name) for name in claim.flavors}
    found[ACTORS] = Requirement(kinds.ASYNC_ACTOR, namespace=claim.namespace)
    if settings.crew_namespace is not None:
        found[CREW] = Requirement(kinds.ASYNC_ACTOR, namespace=settings.crew_namespace)
    if serves_all(claim, settings):
        found[EVERYWHERE] = Requirement(kinds.ASYNC_ACTOR)
    if settings.queue_names == "dash":
        for namespace in sorted(rivals(claim)):
            found[f"{RIVALS}{namespace}"] = Requirement(kinds.ASYNC_ACTOR, namespace=namespace)
    if wanted_transport(claim, settings) == "rabbitmq":
        namespace, name = names.exchange_object(claim.namespace, settings.crew_namespace)
        found[EXCHANGE] = Requirement(kinds.RABBITMQ_EXCHANGE, name=name, namespace=namespace)
    for name in leaving(observed, wanted_transport(claim, settings)):
        labels = {TRANSPORT: name}
        found[f"leaving-{name}-scalers"] = Requirement(kinds.SCALED_OBJECT, labels=labels, namespace=claim.namespace)
        found[f"leaving-{name}-workloads"] = Requirement(kinds.DEPLOYMENT, labels=labels, namespace=claim.namespace)
    return found


def compose(
    claim: Claim, composite: Manifest, observed: Mapping[str, Seen], settings: Settings, found: Found
) -> Composition:
    """Return everything of an actor.

    Raises:
        CompositionError: The actor, a flavor or the platform's settings are wrong; nothing is to be changed then.
    """
    refuse_second_crew(claim, settings.crew_namespace)
    resolved = _resolve(claim, found)
    if isinstance(resolved, Condition):
        kept = {key: held(key, "workload", manifest, resolved.message) for key, manifest in observed.items()}
        return Composition(kept, {"phase": "Creating", "message": resolved.message}, [resolved])
    if found.neighbours is not None:
        refuse_double(claim, found.neighbours)
    created = (composite.get("metadata") or {}).get("creationTimestamp") or ""
    refuse_shared_queue(claim, created, found.rivals)
    name = wanted_transport(claim, settings)
    context = Context(
        actor=actor(claim, resolved),
        composite=composite,
        namespace=claim.namespace,
        transport=name,
        labels=_labels(claim),
        settings=settings,
        observed=actor_set.own_keys(observed, name),
        neighbours=sorted({each.actor for each in found.neighbours or ()}),
        served=namespaces_on("rabbitmq", found.everywhere or (), settings.default_transport),
        exchange=found.exchange,
    )
    now = actor_set.compose(context)
    resources = {full_key(each.key, name): each for each in now.resources}
    moving = _leave(context, observed, found, resources)
    used = claim.flavors
    generation = int((composite.get("metadata") or {}).get("generation") or 0)
    return Composition(
        resources,
        conditions.status(context, now.resources, now.queue, used, generation),
        [
            *conditions.of_parts(now.resources, scaled=context.actor.spec.scaling.enabled),
            conditions.flavors_resolved(used),
            *_about_others(context, found),
            *moving,
        ],
    )


def _resolve(claim: Claim, found: Found) -> dict[str, Any] | Condition:
    """Return the effective spec, or what of the flavors is not there."""
    names = claim.flavors
    if not names:
        return dict(claim.spec)
    if found.flavors is None:
        return Condition(conditions.FLAVORS, "Unknown", "Reading", "flavors are being read")
    missing = [name for name in names if name not in found.flavors]
    if missing:
        many = "s" if len(missing) > 1 else ""
        message = f"spec.flavors: there is no EnvironmentConfig{many} {', '.join(map(repr, missing))}"
        return Condition(conditions.FLAVORS, "False", "FlavorMissing", message)
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


def _leave(
    context: Context, observed: Mapping[str, Seen], found: Found, resources: dict[str, Resource]
) -> list[Condition]:
    """Keep what is still needed on transports that the actor leaves; add it to `resources`."""
    for name in leaving(observed, context.transport):
        why = still_needed(name, found.old.get(name), found.neighbours, context.settings.default_transport)
        if why is None:
            continue
        old = actor_set.draining(_on(context, name, actor_set.own_keys(observed, name)))
        composed: ActorSet = actor_set.compose(old)
        for each in composed.resources:
            resources.setdefault(full_key(each.key, name), each)
        return [Condition("TransportMoved", "False", "Draining", f"what is on {name} stays: {why}")]
    return [Condition("TransportMoved", "True", "Moved", "")]


def _on(context: Context, name: TransportName, observed: Observed) -> Context:
    return replace(context, transport=name, observed=observed)


def _about_others(context: Context, found: Found) -> list[Condition]:
    told = []
    if found.neighbours is not None:
        told.append(transport_mixed(found.neighbours, context.settings.default_transport))
    crew = found.neighbours if context.settings.crew_namespace is None else found.crew
    if crew is not None and context.labels.get(CREW_LABEL) != "true":
        told.append(crew_ready(crew, context.settings.crew_namespace or context.namespace))
    return told
