"""What must be known of the cluster besides the actor and its own objects.

There may be hundreds of actors in a namespace, and Crossplane looks at each once a minute. So all of them are asked for
only where nothing less will do; otherwise what is asked for does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from asya.api.rules_mesh import TERMINAL_ACTORS
from asya_composer import kinds, names
from asya_composer.builders.injection import KEY as INJECTION
from asya_composer.collisions import rivals
from asya_composer.composite import Claim
from asya_composer.kinds import Kind
from asya_composer.model import Observed, Seen
from asya_composer.moving import leaving
from asya_composer.neighbours import workload_of
from asya_composer.objects import ACTOR, TRANSPORT
from asya_composer.settings import TRANSPORTS, Settings, TransportName

ACTORS, CREW, ELSEWHERE, EVERYWHERE, EXCHANGE = "actors", "crew-", "elsewhere-", "everywhere", "exchange"
BOUND, RIVALS = "workload", "rivals-"


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


def _needs_all(claim: Claim, observed: Mapping[str, Seen], settings: Settings) -> bool:
    """Tell whether all actors of the namespace must be known.

    At birth: another object may have the actor's name. While a transport is left: they may still send there. On
    Pub/Sub: each is granted to publish. With somebody else's workload: another may be bound to it.
    """
    wanted = wanted_transport(claim, settings)
    born = any(Observed({"": each}).at("", "metadata", "labels", ACTOR) == claim.actor for each in observed.values())
    bound = workload_of(claim.spec) is not None or any(key.endswith(f"-{INJECTION}") for key in observed)
    return not born or bound or wanted == "pubsub" or bool(leaving(observed, wanted))


def _others(claim: Claim, settings: Settings) -> list[TransportName]:
    """Return the transports of the platform that the actor shall not be on."""
    wanted = wanted_transport(claim, settings)
    return [name for name in TRANSPORTS if name != wanted and getattr(settings.transports, name) is not None]


def requirements(claim: Claim, observed: Mapping[str, Seen], settings: Settings) -> dict[str, Requirement]:
    """Return what must be known besides; the same for the same request, whatever has been answered."""
    found = {f"flavor-{name}": Requirement(kinds.ENVIRONMENT_CONFIG, name=name) for name in claim.flavors}
    if _needs_all(claim, observed, settings):
        found[ACTORS] = Requirement(kinds.ASYNC_ACTOR, namespace=claim.namespace)
    else:
        for other in _others(claim, settings):
            on_it = {TRANSPORT: other}
            found[f"{ELSEWHERE}{other}"] = Requirement(kinds.SCALED_OBJECT, labels=on_it, namespace=claim.namespace)
    for terminal in TERMINAL_ACTORS:
        place = settings.crew_namespace or claim.namespace
        found[f"{CREW}{terminal}"] = Requirement(kinds.ASYNC_ACTOR, name=terminal, namespace=place)
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
