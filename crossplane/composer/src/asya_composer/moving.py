"""Moving an actor to another transport: what is on the old one stays until nothing can come there any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from asya_composer.model import Observed, Seen
from asya_composer.neighbours import Neighbourhood
from asya_composer.ownership import is_paused_by_us
from asya_composer.settings import TRANSPORTS, TransportName

LEFT = "asya.sh/left"
"""Annotation of a ScaledObject whose transport is being left: its `cooldownPeriod` is as long as retries may take."""
_KEDAS_COOLDOWN = 300
"""Seconds, where `cooldownPeriod` is not given. (Source: KEDA 2.20, ScaledObject specification.)"""


@dataclass(frozen=True, slots=True)
class Old:
    """What of the namespace runs on a transport that is being left."""

    scalers: Sequence[Seen]
    workloads: Sequence[Seen]


class Needed(NamedTuple):
    """Why what is on a transport must stay. `unscaled`: all that is left there is pods that nothing scales."""

    why: str
    unscaled: bool = False


def leaving(observed: Mapping[str, Seen], wanted: TransportName) -> list[TransportName]:
    """Return the transports that the actor still has something on, and shall not be on."""
    return [name for name in TRANSPORTS if name != wanted and any(key.startswith(f"{name}-") for key in observed)]


def still_needed(
    name: TransportName, old: Old | None, neighbours: Neighbourhood | None, default: TransportName, now: datetime
) -> Needed | None:
    """Say why what is on transport `name` must stay at the time `now`, None when it need not.

    Another actor of the namespace that is on it, or is not idle there, may still send to this one. An actor without
    replicas is not idle yet: a message that it has handled a moment ago may wait for a retry, where nothing counts it.
    """
    if old is None or neighbours is None:
        return Needed("the namespace is being read")
    on_it = sorted(neighbours.on(default).get(name, ()))
    if on_it:
        return Needed(f"{', '.join(on_it[:5])} of this namespace shall be on it")
    for scaler in old.scalers:
        active = Observed({"": scaler}).condition("", "Active")
        if active is None or active.status != "False":
            return Needed(f"ScaledObject {_name(scaler)} is active")
    for scaler in old.scalers:
        if (why := _waits(scaler, now)) is not None:
            return Needed(f"ScaledObject {_name(scaler)} {why}")
    scaled = {Observed({"": each}).at("", "spec", "scaleTargetRef", "name") for each in old.scalers}
    at_work = [_name(each) for each in old.workloads if _has_replicas(each)]
    if not at_work:
        return None
    first = next((each for each in at_work if each in scaled), None)
    return Needed(f"Deployment {first or at_work[0]} has replicas", unscaled=first is None)


def _waits(scaler: Seen, now: datetime) -> str | None:
    """Say for what a scaler that is not active still waits. The words stay the same while it does."""
    seen = Observed({"": scaler})
    if seen.at("", "metadata", "annotations", LEFT) is None:
        return "has yet to be told that its transport is left"
    last = _time(seen.at("", "status", "lastActiveTime"))
    if last is None:
        return None
    cooldown = seen.at("", "spec", "cooldownPeriod")
    until = last + timedelta(seconds=_KEDAS_COOLDOWN if cooldown is None else cooldown)
    return f"waits until {until:%H:%M:%S} UTC for messages that are tried again" if now < until else None


def _time(value: object) -> datetime | None:
    """Read a time of the cluster (RFC 3339); None where there is none."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo is not None else found.replace(tzinfo=UTC)


def _has_replicas(workload: Seen) -> bool:
    there = Observed({"": workload})
    if is_paused_by_us(workload):
        return bool(there.at("", "status", "replicas"))
    return there.at("", "spec", "replicas") != 0 or bool(there.at("", "status", "replicas"))


def _name(seen: Seen) -> str:
    return str(Observed({"": seen}).at("", "metadata", "name"))
