"""Everything of one actor on one transport, with the transport's name in front of the keys.

Service account, disruption budget and pod monitor are the actor's own, whatever its transport; they keep plain keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from asya_composer.builders.birth import is_born
from asya_composer.builders.deployment import KEY as DEPLOYMENT
from asya_composer.builders.deployment import deployment
from asya_composer.builders.guards import DISRUPTION_KEY, MONITOR_KEY, disruption_budget, network_policy, pod_monitor
from asya_composer.builders.injection import injection
from asya_composer.builders.scaled_object import KEY as SCALER
from asya_composer.builders.scaled_object import scaled_object
from asya_composer.builders.service_account import KEY as SERVICE_ACCOUNT_KEY
from asya_composer.builders.service_account import service_account
from asya_composer.model import Context, Observed, Part, QueueStatus, Resource, Seen, Trigger, Waiting
from asya_composer.objects import held
from asya_composer.settings import TransportName
from asya_composer.transports import transport

_SHOWN = 3
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
        needs = [access.message]
    else:
        found += service_account(context, access.annotations)
        needs = [each.why for each in found if each.part in ("queue", "identity") and not each.ready]
        bound = context.actor.spec.workload_ref is not None
        found += [injection(context, access) if bound else deployment(context, access, needs)]
        found += network_policy(context, access)
    found += [*disruption_budget(context), *pod_monitor(context)]
    if context.actor.spec.scaling.enabled:
        trigger = broker.trigger(context)
        if isinstance(trigger, Waiting):
            waiting.append(trigger)
        else:
            found += _scaled(context, trigger, needs)
    if waiting:
        found += kept(context.observed, found, "; ".join(dict.fromkeys(each.message for each in waiting)))
    return ActorSet(context, found, broker.queue(context), waiting)


def _scaled(context: Context, trigger: Trigger, needs: Sequence[str]) -> list[Resource]:
    """Return how the actor is scaled: its ScaledObject not before there is all that KEDA's first look needs.

    That is the queue, the user that KEDA looks as, and the Deployment. Where KEDA cannot look, it looks again only
    after a whole polling interval.
    """
    found, deployment = scaled_object(context, trigger), context.observed.get(DEPLOYMENT)
    needs = [*needs, *(each.why for each in found if each.key != SCALER and not each.ready)]
    if context.actor.spec.workload_ref is None and deployment is None:
        needs.append("Deployment is being created")
    if not needs or is_born(deployment) or context.observed.get(SCALER) is not None:
        return found
    why = f"autoscaling waits: {'; '.join(needs[:_SHOWN])}"
    return [replace(each, ready=False, why=why, later=True) if each.key == SCALER else each for each in found]


def kept(observed: Observed, composed: Iterable[Resource], why: str) -> list[Resource]:
    """Return what exists and is not among what is `composed`, as it is."""
    there = {each.key for each in composed}
    return [
        held(key, _PARTS_HELD.get(key, "queue"), manifest, why)
        for key, manifest in observed.resources.items()
        if key not in there
    ]
