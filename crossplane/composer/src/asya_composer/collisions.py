"""Actors that would share a queue, because the public project's names `asya-<namespace>-<actor>` mean several things.

`asya-a-b-c` is actor `b-c` of namespace `a` and actor `c` of namespace `a-b`; `asya-a-b-dlq` is the dead letters of
`b` in `a` and actor `dlq` of `a-b`. Who could be meant besides follows from the name alone, so only those few
namespaces are looked at; an actor of another cluster at the same broker cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterable

from asya.api.rules_mesh import DEAD_LETTERS
from asya_composer.composite import Claim
from asya_composer.errors import CompositionError
from asya_composer.neighbours import Neighbour


def rivals(claim: Claim) -> dict[str, set[str]]:
    """Return actors that would share one of this one's two queues, by namespace."""
    queue = f"{claim.namespace}-{claim.actor}"
    alike = [queue, queue + DEAD_LETTERS]  # whose queue is mine, or my dead letters
    if queue.endswith(DEAD_LETTERS):
        alike.append(queue.removesuffix(DEAD_LETTERS))  # whose dead letters are my queue
    found: dict[str, set[str]] = {}
    for text in alike:
        parts = text.split("-")
        for end in range(1, len(parts)):
            namespace, actor = "-".join(parts[:end]), "-".join(parts[end:])
            if namespace and actor and namespace != claim.namespace:
                found.setdefault(namespace, set()).add(actor)
    return found


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
        if other.actor in alike.get(other.namespace, ()) and elder:
            sentence = (
                f"with queueNames: dash, {claim.actor!r} would share a queue with {other.actor!r} of namespace "
                f"{other.namespace}, which was first; rename it"
            )
            raise CompositionError("spec.actor", sentence)
