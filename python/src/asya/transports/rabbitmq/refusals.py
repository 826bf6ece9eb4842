"""What the broker's words mean for a message that was on its way. Pure; both engines."""

from __future__ import annotations

from asya.errors import (
    ConnectionLostError,
    DeniedError,
    NoDestinationError,
    RefusedError,
    TooLargeError,
    TransportError,
)
from asya.transports.rabbitmq.engine import Publication

NOT_FOUND, ACCESS_REFUSED, PRECONDITION_FAILED, NOT_ALLOWED = 404, 403, 406, 530
"""Reply codes of AMQP 0-9-1 §1.1 that are told apart."""


def returned(publication: Publication) -> NoDestinationError:
    """Say that a message came back because no queue is bound to its key."""
    return NoDestinationError(actor=publication.destination.actor, queue=publication.destination.queue)


def rejected(publication: Publication) -> RefusedError:
    """Say that the broker took a message and then did not keep it."""
    destination = publication.destination
    return RefusedError(f"queue {destination.queue} rejects messages; it may be full", actor=destination.actor)


def closed(code: int, text: str, publication: Publication) -> TransportError:
    """Say what it means for a message on its way that its channel was closed with these words.

    A closed channel may be the doing of any other message, so only words that name this one are taken as its own fate.
    """
    if code == NOT_FOUND and f"'{publication.destination.exchange}'" in text:
        return returned(publication)
    size = len(publication.body)
    if code == PRECONDITION_FAILED and f"message size {size} " in text:
        limit = int("".join(filter(str.isdigit, text.rpartition("size")[2])) or 0)
        return TooLargeError(actor=publication.destination.actor, size=size, limit=limit)
    return general(code, text)


def general(code: int, text: str) -> TransportError:
    """Say what a code means for whoever waits on the channel or connection that was closed with it."""
    return DeniedError(text) if code in {ACCESS_REFUSED, NOT_ALLOWED} else ConnectionLostError(text)
