"""Actors that would share a queue, because the public project's names `asya-<namespace>-<actor>` mean several things.

`asya-a-b-c` is actor `b-c` of namespace `a` and actor `c` of namespace `a-b`. No actor is called like dead letters, so
with different queues those are different too. Who could be meant besides follows from the name alone, so only those
few namespaces are looked at; an actor of another cluster at the same broker cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterable

from asya_composer.composite import Claim
from asya_composer.errors import CompositionError
from asya_composer.neighbours import Neighbour


def rivals(claim: Claim) -> dict[str, str]:
    """Return actors that would share this one's queue, by namespace; in each that is one."""
    parts = f"{claim.namespace}-{claim.actor}".split("-")
    found = {"-".join(parts[:end]): "-".join(parts[end:]) for end in range(1, len(parts))}
    return {place: actor for place, actor in found.items() if place and actor and place != claim.namespace}


def refuse_shared_queue(claim: Claim, created: str, others: Iterable[Neighbour]) -> None:
    """Let only the eldest have a queue's name.

    Raises:
        CompositionError: An actor of another namespace had it first.
    """
    alike = rivals(claim)
    for other in others:
        elder = (other.created or "~", other.namespace, other.actor) < (
            created or "~",
            claim.namespace,
            claim.actor,
        )
        if other.actor == alike.get(other.namespace) and elder:
            sentence = (
                f"with queueNames: dash, {claim.actor!r} would share a queue with {other.actor!r} of namespace "
                f"{other.namespace}, which was first; rename it"
            )
            raise CompositionError("spec.actor", sentence)
