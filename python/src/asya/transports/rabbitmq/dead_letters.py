"""Dead letters on RabbitMQ: taken out one by one, unacknowledged, and given back when the channel closes.

Only `control` imports this module, when it is first needed. How often a dead letter is given back does not matter: its
queue has no delivery limit (see `topology`).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from asya.errors import LeaseLostError, TooLargeError
from asya.transports.base import DeadLetter
from asya.transports.rabbitmq import client, refusals
from asya.transports.rabbitmq.dead_letter_headers import read
from asya.transports.rabbitmq.engine import Destination, Publication

# It tells of each call that was cancelled, as all are when a person stops the command.
logging.getLogger("aiormq.channel").setLevel(logging.ERROR)


class RabbitmqDeadLetters:
    """See `base.DeadLetters`. What is browsed is hidden from others until the channel closes.

    Args:
        channel: In confirm mode, and raising for messages that come back.
        queue: The dead-letter queue.
        destination: The actor's own queue.
        delivery_limit: Of the actor's queue, where it is known.
        message_bytes: The largest message that is published.
    """

    def __init__(
        self,
        channel: AbstractChannel,
        queue: str,
        destination: Destination,
        *,
        delivery_limit: int | None,
        message_bytes: int,
    ) -> None:
        self._channel, self._queue, self._destination = channel, queue, destination
        self._delivery_limit, self._message_bytes = delivery_limit, message_bytes

    async def browse(self) -> AsyncIterator[DeadLetter]:
        """See `base.DeadLetters.browse`."""
        actor = self._destination.actor
        with client.translated():
            source = await self._channel.get_queue(self._queue, ensure=False)
        while True:
            with client.translated():
                message = await source.get(fail=False)
            if message is None:
                return
            death = read(message.headers, self._delivery_limit)
            yield DeadLetter(message.body, actor, message, death.reason, death.attempts, death.since, death.tags)

    async def redrive(self, letter: DeadLetter, body: bytes | None = None) -> None:
        """See `base.DeadLetters.redrive`."""
        message = _held(letter)
        await self._publish(letter.body if body is None else body)
        with client.translated():
            await message.ack()

    async def drop(self, letter: DeadLetter) -> None:
        """See `base.DeadLetters.drop`."""
        message = _held(letter)
        with client.translated():
            await message.ack()

    async def _publish(self, body: bytes) -> None:
        destination = self._destination
        if len(body) > self._message_bytes:
            raise TooLargeError(actor=destination.actor, size=len(body), limit=self._message_bytes)
        publication = Publication(destination, body)
        persistent = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        with client.translated():
            exchange = await self._channel.get_exchange(destination.exchange, ensure=False)
            try:
                await exchange.publish(persistent, destination.key, mandatory=True)
            except client.PublishError as error:
                raise refusals.returned(publication) from error
            except client.DeliveryError as error:
                raise refusals.rejected(publication) from error


def _held(letter: DeadLetter) -> AbstractIncomingMessage:
    message: AbstractIncomingMessage = letter.token
    if message.processed:
        raise LeaseLostError("the dead letter was settled already")
    return message
