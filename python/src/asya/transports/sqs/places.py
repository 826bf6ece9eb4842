"""Where an actor's messages are at SQS: names, ARNs, addresses. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from asya.errors import NoDestinationError
from asya.policy import naming
from asya.transports.naming import QueueNames

_ACTOR = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Place:
    """One queue. `url` names it in calls; `where` is the region and account, for messages."""

    actor: str
    name: str
    url: str
    arn: str
    where: str

    def missing(self) -> NoDestinationError:
        """Say that it does not exist."""
        return NoDestinationError(actor=self.actor, queue=self.name, where=self.where)


def queue_name(names: QueueNames, actor: str, *, fifo: bool) -> str:
    """Return the name of an actor's queue.

    Raises:
        NoDestinationError: No queue can be called so.
    """
    queue = names.queue(actor)
    if not _ACTOR.fullmatch(actor):
        raise NoDestinationError(actor=actor, queue=queue)
    return naming.sqs_queue(queue, separator=names.separator, fifo=fifo)


def dead_letters_name(names: QueueNames, actor: str, *, fifo: bool) -> str:
    """Return the name of an actor's dead-letter queue.

    Raises:
        NoDestinationError: No queue can be called so.
    """
    queue = names.queue(actor)
    if not _ACTOR.fullmatch(actor):
        raise NoDestinationError(actor=actor, queue=queue)
    return naming.sqs_dead_letters(queue, separator=names.separator, fifo=fifo)
