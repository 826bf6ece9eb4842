"""Publishing on one channel of the library with confirmations.

The library's own publishing takes a lock, a time limit and several objects for each message and encodes field by field.
Here a message is its frames, which go out with all others of the turn, and a future in the library's register of
confirmations, which it keeps on resolving: acks, nacks, returns and the end of the channel.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from asya.errors import ConnectionLostError, TransportError
from asya.transports.rabbitmq import client, frames, refusals
from asya.transports.rabbitmq.engine import OnPublished, Publication


class Publisher:
    """One channel in confirm mode."""

    def __init__(self, connection: client.Connection, channel: client.Channel) -> None:
        self._connection, self._channel = connection, channel

    @property
    def alive(self) -> bool:
        """Whether the channel is open."""
        return not self._channel.is_closed

    def send(self, publication: Publication, on_published: OnPublished) -> None:
        """Put a message on its way; `on_published` hears what became of it."""
        channel, destination = self._channel, publication.destination
        table = client.table(publication.headers) if publication.headers else None
        number = channel.delivery_tag + 1
        # A message that comes back is told by its id.
        message_id = str(number)
        pieces = frames.publish(
            channel.number,
            destination.exchange,
            destination.key,
            message_id,
            table,
            publication.body,
            channel.max_content_size,
        )
        channel.delivery_tag = number
        confirmation = channel.confirmations[number] = channel.create_future()
        channel.message_id_delivery_tag[message_id] = number
        confirmation.add_done_callback(partial(self._confirmed, publication, message_id, on_published))
        self._connection.send(lambda: b"".join(pieces))

    def _confirmed(
        self, publication: Publication, message_id: str, on_published: OnPublished, confirmation: asyncio.Future[Any]
    ) -> None:
        self._channel.message_id_delivery_tag.pop(message_id, None)
        on_published(_outcome(publication, confirmation))


def _outcome(publication: Publication, confirmation: asyncio.Future[Any]) -> TransportError | None:
    if confirmation.cancelled():
        return ConnectionLostError("the channel was closed")
    match confirmation.exception():
        case None:
            return None
        case client.PublishError():
            return refusals.returned(publication)
        case client.DeliveryError():
            return refusals.rejected(publication)
        case client.ChannelNotFoundEntity() as error:
            return refusals.closed(refusals.NOT_FOUND, client.words(error), publication)
        case client.ChannelPreconditionFailed() as error:
            return refusals.closed(refusals.PRECONDITION_FAILED, client.words(error), publication)
        case error:
            return client.ours(error)
