"""Queues on RabbitMQ whose actor is gone: kept while they held messages, removed once they are empty. Pure.

A quorum queue cannot be deleted "if empty" or "if unused" (the broker answers: not implemented), so it is looked at
instead. What is bound to an exchange may still be written to, and may be the queue of another cluster at the same
broker; the binding of an actor's queue goes with the actor.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from asya.transports.naming import QueueNames

_PREFIX, _DEAD_LETTERS = "asya", "dlq"


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue as the broker shows it. `messages` counts those that are handed out, too; None is not counted yet."""

    name: str
    messages: int | None
    consumers: int | None
    bindings: Collection[str] = ()
    """Exchanges that lead into it, without the default one."""


def owner(name: str) -> tuple[str, str] | None:
    """Return namespace and actor of a queue or dead-letter queue; None for a name that is not ours."""
    prefix, *rest = name.split("_")
    if prefix != _PREFIX or not all(rest):
        return None
    if len(rest) == 3 and rest[2] != _DEAD_LETTERS:
        return None
    return (rest[0], rest[1]) if len(rest) in {2, 3} else None


def orphans(queues: Iterable[Queue], actors: Collection[tuple[str, str]], before: Collection[str]) -> list[str]:
    """Return the queues to remove: ours, with no actor, empty, unused, and unbound, now and a round `before`.

    `actors` are (namespace, name). A queue of dead letters stays as long as its queue is there, which writes to it.
    """
    queues = list(queues)
    there = {queue.name for queue in queues}
    found: list[str] = []
    for queue in candidates(queues, actors):
        namespace, actor = owner(queue) or ("", "")
        names = QueueNames(namespace)
        fed = queue == names.dead_letters(actor) and names.queue(actor) in there
        if queue in before and not fed:
            found.append(queue)
    return found


def candidates(queues: Iterable[Queue], actors: Collection[tuple[str, str]]) -> list[str]:
    """Return the names of queues that may be removed when they are still like this the next time."""
    return sorted(
        queue.name
        for queue in queues
        if (whose := owner(queue.name)) is not None
        and whose not in actors
        and queue.messages == 0
        and queue.consumers == 0
        and not queue.bindings
    )
