"""Publishing on one channel with confirmations.

The library's own publishing takes a lock, a time limit and several objects for each message and encodes field by field.
Here a message is its frames, which go out with all others of the turn, and a future in the library's register of
confirmations, which it keeps on resolving: acks, nacks, returns and the end of the channel.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from asya.errors import ConnectionLostError, NoDestinationError, RefusedError, TooLargeError, TransportError
from asya.transports.rabbitmq import client, frames
from asya.transports.rabbitmq.engine import Publication


@dataclass(frozen=True, slots=True)
class Sent:
    """A message on its way."""

    publication: Publication
    message_id: str
    confirmation: asyncio.Future[Any]


class Publisher:
    """One channel in confirm mode."""

    def __init__(self, connection: client.Connection, channel: client.Channel) -> None:
        self._connection, self._channel = connection, channel

    @property
    def alive(self) -> bool:
        """Whether the channel is open."""
        return not self._channel.is_closed

    def send(self, publication: Publication) -> Sent:
        """Put a message on its way; `confirmed` must be awaited for each."""
        channel = self._channel
        table = client.table(publication.headers) if publication.headers else None
        number = channel.delivery_tag + 1
        # A message that comes back is told by its id.
        message_id = str(number)
        pieces = frames.publish(
            channel.number,
            publication.exchange,
            publication.key,
            message_id,
            table,
            publication.body,
            channel.max_content_size,
        )
        channel.delivery_tag = number
        confirmation = channel.confirmations[number] = channel.create_future()
        channel.message_id_delivery_tag[message_id] = number
        self._connection.send(lambda: b"".join(pieces))
        return Sent(publication, message_id, confirmation)

    async def confirmed(self, sent: Sent) -> None:
        """Wait for the broker's word. Errors as `engine.Engine.publish` has them."""
        publication = sent.publication
        try:
            with client.translated():
                try:
                    await sent.confirmation
                except client.PublishError as error:
                    raise NoDestinationError(actor=publication.actor, queue=publication.queue) from error
                except client.DeliveryError as error:
                    raise RefusedError(f"queue {publication.queue} rejects messages; it may be full") from error
        except ConnectionLostError as error:
            raise _explained(error, publication) from error.__cause__
        finally:
            self._channel.message_id_delivery_tag.pop(sent.message_id, None)


def _explained(error: ConnectionLostError, publication: Publication) -> TransportError:
    """Say what a closed channel means for one of the messages that were on the way by it."""
    cause, text = error.__cause__, str(error)
    if isinstance(cause, client.ChannelNotFoundEntity) and f"'{publication.exchange}'" in text:
        return NoDestinationError(actor=publication.actor, queue=publication.queue)
    if isinstance(cause, client.ChannelPreconditionFailed) and f"message size {len(publication.body)} " in text:
        limit = int("".join(filter(str.isdigit, text.rpartition("size")[2])) or 0)
        return TooLargeError(actor=publication.actor, size=len(publication.body), limit=limit)
    return error
