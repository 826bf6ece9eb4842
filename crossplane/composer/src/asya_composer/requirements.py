"""What must be known of the cluster besides the actor and its own objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from asya.api.rules_mesh import TERMINAL_ACTORS
from asya_composer import kinds, names
from asya_composer.collisions import rivals
from asya_composer.composite import Claim
from asya_composer.kinds import Kind
from asya_composer.model import Seen
from asya_composer.moving import leaving
from asya_composer.neighbours import workload_of
from asya_composer.objects import ACTOR, TRANSPORT
from asya_composer.settings import Settings, TransportName

ACTORS, CREW, EVERYWHERE, EXCHANGE, RIVALS = "actors", "crew", "everywhere", "exchange", "rivals-"
BOUND = "workload"


@dataclass(frozen=True, slots=True)
class Requirement:
    """Objects that are asked for: one by `name`, or all with `labels` in `namespace`; without one, in all of them."""

    kind: Kind
    name: str | None = None
    labels: Mapping[str, str] | None = None
    namespace: str | None = None


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
        if serves_all(claim, settings):
            labels = {ACTOR: names.EXCHANGE_OWNER}
            found[EXCHANGE] = Requirement(kinds.RABBITMQ_EXCHANGE, labels=labels, namespace=namespace)
    bound = workload_of(claim.spec)
    if bound is not None:
        kind = kinds.STATEFUL_SET if bound[0] == kinds.STATEFUL_SET.kind else kinds.DEPLOYMENT
        found[BOUND] = Requirement(kind, name=bound[1], namespace=claim.namespace)
    for name in leaving(observed, wanted_transport(claim, settings)):
        labels = {TRANSPORT: name}
        found[f"leaving-{name}-scalers"] = Requirement(kinds.SCALED_OBJECT, labels=labels, namespace=claim.namespace)
        found[f"leaving-{name}-workloads"] = Requirement(kinds.DEPLOYMENT, labels=labels, namespace=claim.namespace)
    return found
