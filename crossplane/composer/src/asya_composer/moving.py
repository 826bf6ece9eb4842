"""Moving an actor to another transport: what is on the old one stays until nothing can come there any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asya_composer.model import Observed, Seen
from asya_composer.neighbours import Neighbour
from asya_composer.settings import TRANSPORTS, TransportName


@dataclass(frozen=True, slots=True)
class Old:
    """What of the namespace runs on a transport that is being left."""

    scalers: Sequence[Seen]
    workloads: Sequence[Seen]


def leaving(observed: Mapping[str, Seen], wanted: TransportName) -> list[TransportName]:
    """Return the transports that the actor still has something on, and shall not be on."""
    return [name for name in TRANSPORTS if name != wanted and any(key.startswith(f"{name}-") for key in observed)]


def still_needed(
    name: TransportName, old: Old | None, neighbours: Sequence[Neighbour] | None, default: TransportName
) -> str | None:
    """Say why what is on transport `name` must stay, None when it need not.

    Another actor of the namespace that is on it, or is not idle there, may still send to this one.
    """
    if old is None or neighbours is None:
        return "the namespace is being read"
    on_it = sorted(each.actor for each in neighbours if (each.transport or default) == name)
    if on_it:
        return f"{', '.join(on_it[:5])} of this namespace shall be on it"
    for scaler in old.scalers:
        active = Observed({"": scaler}).condition("", "Active")
        if active is None or active.status != "False":
            return f"ScaledObject {_name(scaler)} is active"
    for workload in old.workloads:
        there = Observed({"": workload})
        if there.at("", "spec", "replicas") != 0 or there.at("", "status", "replicas"):
            return f"Deployment {_name(workload)} has replicas"
    return None


def _name(seen: Seen) -> str:
    return str(Observed({"": seen}).at("", "metadata", "name"))
