"""Everything of one actor on one transport, with the transport's name in front of the keys.

Service account, disruption budget and pod monitor are the actor's own, whatever its transport; they keep plain keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from asya_composer.builders.deployment import deployment
from asya_composer.builders.guards import DISRUPTION_KEY, MONITOR_KEY, disruption_budget, network_policy, pod_monitor
from asya_composer.builders.injection import injection
from asya_composer.builders.scaled_object import scaled_object
from asya_composer.builders.service_account import KEY as SERVICE_ACCOUNT_KEY
from asya_composer.builders.service_account import service_account
from asya_composer.model import Context, Observed, Part, QueueStatus, Resource, Seen, Waiting
from asya_composer.objects import held
from asya_composer.settings import TransportName
from asya_composer.transports import transport

SHARED = (SERVICE_ACCOUNT_KEY, DISRUPTION_KEY, MONITOR_KEY)
_PARTS_HELD: Mapping[str, Part] = {
    SERVICE_ACCOUNT_KEY: "identity",
    "scaled-object": "autoscaler",
    "trigger-authentication": "autoscaler",
    "management-tls": "autoscaler",
    "deployment": "workload",
    "injection": "workload",
    "network-policy": "workload",
    DISRUPTION_KEY: "workload",
    MONITOR_KEY: "workload",
}


@dataclass(frozen=True, slots=True)
class ActorSet:
    """What exists for an actor on one transport; keys are without the transport's name."""

    context: Context
    resources: list[Resource]
    queue: QueueStatus
    waiting: list[Waiting]


def own_keys(observed: Mapping[str, Seen], name: TransportName) -> Observed:
    """Return what is observed of one transport, by its own keys, and what is shared."""
    prefix = f"{name}-"
    own = {key.removeprefix(prefix): value for key, value in observed.items() if key.startswith(prefix)}
    return Observed({**{key: observed[key] for key in SHARED if key in observed}, **own})


def full_key(key: str, name: TransportName) -> str:
    """Return the key in the pipeline."""
    return key if key in SHARED else f"{name}-{key}"


def compose(context: Context) -> ActorSet:
    """Return the set, as far as it can be composed; what exists and cannot be composed now is kept as it is.

    Raises:
        CompositionError: Something that waiting does not heal.
    """
    broker = transport(context.transport)
    found = broker.resources(context)
    waiting: list[Waiting] = []
    access = broker.pod(context)
    if isinstance(access, Waiting):
        waiting.append(access)
    else:
        found += service_account(context, access.annotations)
        bound = context.actor.spec.workload_ref is not None
        found += [injection(context, access) if bound else deployment(context, access)]
        found += network_policy(context, access)
    found += [*disruption_budget(context), *pod_monitor(context)]
    if context.actor.spec.scaling.enabled:
        trigger = broker.trigger(context)
        if isinstance(trigger, Waiting):
            waiting.append(trigger)
        else:
            found += scaled_object(context, trigger)
    if waiting:
        found += kept(context.observed, found, "; ".join(dict.fromkeys(each.message for each in waiting)))
    return ActorSet(context, found, broker.queue(context), waiting)


def kept(observed: Observed, composed: Iterable[Resource], why: str) -> list[Resource]:
    """Return what exists and is not among what is `composed`, as it is."""
    there = {each.key for each in composed}
    return [
        held(key, _PARTS_HELD.get(key, "queue"), manifest, why)
        for key, manifest in observed.resources.items()
        if key not in there
    ]
