"""The other actors of the namespace: who they are, which transport they are on, whether the crew is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from asya.api.rules_mesh import TERMINAL_ACTORS
from asya_composer.composite import Claim
from asya_composer.errors import CompositionError
from asya_composer.model import Condition
from asya_composer.settings import TransportName

CREW_READY, TRANSPORT_MIXED = "CrewReady", "TransportMixed"


class Neighbour(NamedTuple):
    """An AsyncActor as far as others must know it.

    `transport` is None where it leaves that to the platform; `ready` counts for the crew only; `workload` is what it is
    bound to, as kind and name, as far as it says so itself.
    """

    object_name: str
    actor: str
    namespace: str
    transport: TransportName | None = None
    created: str = ""
    ready: bool = False
    workload: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The AsyncActors of a namespace; there may be thousands, and of most little is needed.

    Attributes:
        by_transport: Names of all actors, by the transport that they ask for; None where they leave that to the
            platform.
        known: Those of which more is needed: who has the actor's own name, and, where it may be bound to a workload
            itself, who else is.
    """

    by_transport: Mapping[TransportName | None, Sequence[str]]
    known: Sequence[Neighbour]

    @property
    def actors(self) -> list[str]:
        """Names of all actors."""
        return list(chain.from_iterable(self.by_transport.values()))

    def on(self, default: TransportName) -> dict[TransportName, Sequence[str]]:
        """Return the names of all actors by transport, where the platform's is `default`."""
        found: dict[TransportName, Sequence[str]] = {}
        for name, actors in self.by_transport.items():
            found[name or default] = [*found.get(name or default, ()), *actors]
        return found


def refuse_double(claim: Claim, neighbours: Iterable[Neighbour]) -> None:
    """Let only the elder of two objects be an actor of that name.

    Raises:
        CompositionError: Another object had the name first.
    """
    actor = claim.actor
    same = [each for each in neighbours if each.actor == actor]
    own = next((each.created for each in same if each.object_name == claim.name), "~")
    for other in same:
        if other.object_name != claim.name and (other.created, other.object_name) < (own, claim.name):
            raise CompositionError("spec.actor", f"{claim.actor!r} is already the actor of {other.object_name!r}")


def workload_of(spec: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return kind and name of the workload that an actor is bound to, None when it has pods of its own."""
    reference = spec.get("workloadRef")
    if not isinstance(reference, Mapping):
        return None
    return str(reference.get("kind") or "Deployment"), str(reference.get("name"))


def refuse_shared_workload(claim: Claim, spec: Mapping[str, Any], neighbours: Iterable[Neighbour]) -> None:
    """Let only the elder of two actors be bound to a workload: its pods take one sidecar, and one autoscaler.

    `spec` is the claim's, flavors merged in; of neighbours only what they say themselves is known.

    Raises:
        CompositionError: Another actor had the workload first.
    """
    workload = workload_of(spec)
    if workload is None:
        return
    same = [each for each in neighbours if each.workload == workload or each.object_name == claim.name]
    own = next((each.created for each in same if each.object_name == claim.name), "~")
    for other in same:
        if other.object_name != claim.name and (other.created, other.object_name) < (own, claim.name):
            kind, name = workload
            raise CompositionError("spec.workloadRef", f"{kind} {name!r} is already bound to actor {other.actor!r}")


def refuse_second_crew(claim: Claim, crew_namespace: str | None) -> None:
    """Let the crew of a platform with one for all be in its namespace only, and be found by its name.

    Raises:
        CompositionError: This is another one, and each message would end twice; or its object is not called like it.
    """
    if claim.actor in TERMINAL_ACTORS and claim.name != claim.actor:
        sentence = (
            f"the object of {claim.actor} must be called so too, not {claim.name!r}: it is looked for by its name"
        )
        raise CompositionError("spec.actor", sentence)
    if claim.actor in TERMINAL_ACTORS and crew_namespace not in (None, claim.namespace):
        sentence = f"the platform has one {claim.actor} for all, in namespace {crew_namespace}; delete this one"
        raise CompositionError("spec.actor", sentence)


def namespaces_on(transport: TransportName, neighbours: Iterable[Neighbour], default: TransportName) -> list[str]:
    """Return the namespaces that have actors on `transport`."""
    return sorted({each.namespace for each in neighbours if (each.transport or default) == transport})


def transport_mixed(own: TransportName, actors: Mapping[TransportName, Sequence[str]]) -> Condition:
    """Tell whether all actors of the namespace are on the actor's `own` transport, and who is not."""
    odd = sorted(f"{actor} ({name})" for name, those in actors.items() if name != own for actor in those)
    if not odd:
        return Condition(TRANSPORT_MIXED, "False", "Agreed")
    more = f" and {len(odd) - 10} more" if len(odd) > 10 else ""
    message = f"from {own} these of the namespace cannot be reached: {', '.join(odd[:10])}{more}"
    return Condition(TRANSPORT_MIXED, "True", "Mixed", message)


def crew_ready(
    crew: Iterable[Neighbour], namespace: str, transport: TransportName, default: TransportName
) -> Condition:
    """Tell whether messages of an actor on `transport` have somewhere to end."""
    there = {each.actor: each for each in crew}
    missing = [name for name in TERMINAL_ACTORS if name not in there]
    if missing:
        message = f"namespace {namespace} has no {' and no '.join(missing)}: messages have nowhere to end"
        return Condition(CREW_READY, "False", "CrewMissing", message)
    far = {name: on for name in TERMINAL_ACTORS if (on := there[name].transport or default) != transport}
    if far:
        where = ", ".join(f"{name} ({on})" for name, on in far.items())
        message = f"actors on {transport} cannot reach these of namespace {namespace}: {where}"
        return Condition(CREW_READY, "False", "CrewUnreachable", message)
    waiting = [name for name in TERMINAL_ACTORS if not there[name].ready]
    if waiting:
        return Condition(CREW_READY, "False", "CrewNotReady", f"{' and '.join(waiting)} not ready yet")
    return Condition(CREW_READY, "True", "Available")
