"""A channel that receives from one queue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from pamqp import commands

from asya.errors import ConnectionLostError, NoDestinationError, TransportError
from asya.transports.rabbitmq import refusals
from asya.transports.rabbitmq.engine import OnArrival
from asya.transports.rabbitmq.fast.channel import Channel
from asya.transports.rabbitmq.fast.connection import Connection
from asya.transports.rabbitmq.fast.errors import ClosedError
from asya.transports.rabbitmq.settlements import Settlements

log = logging.getLogger(__name__)
LARGEST_PREFETCH = 65535
"""What AMQP can say."""


class FastSubscription:
    """See `engine.Subscription`."""

    def __init__(self, channel: Receiving, queue: str, actor: str) -> None:
        self._channel, self._queue, self._actor = channel, queue, actor
        self.ack, self.nack = channel.ack, channel.nack

    @property
    def alive(self) -> bool:
        """See `engine.Subscription.alive`."""
        return self._channel.alive

    @property
    def running(self) -> bool:
        """See `engine.Subscription.running`."""
        return self._channel.consumer is not None and self._channel.alive

    async def start(self, prefetch: int) -> None:
        """See `engine.Subscription.start`."""
        try:
            await self._channel.start(self._queue, min(prefetch, LARGEST_PREFETCH))
        except ClosedError as error:
            raise meaning(error, self._actor, self._queue) from error

    async def stop(self) -> None:
        """See `engine.Subscription.stop`."""
        try:
            await self._channel.stop()
        except ClosedError as error:
            raise meaning(error, self._actor, self._queue) from error

    async def close(self) -> None:
        """See `engine.Subscription.close`."""
        try:
            await self._channel.close()
        except ClosedError as error:
            raise refusals.general(error.code, error.text) from error


class Receiving(Channel):
    """The channel of a subscription."""

    def __init__(self, connection: Connection, on_arrival: OnArrival) -> None:
        super().__init__(connection)
        self.consumer: str | None = None
        self.on_end: Callable[[], None] | None = None
        self._on_arrival = on_arrival
        self._settlements = Settlements(self.number)
        self._starts = 0

    async def start(self, queue: str, prefetch: int) -> None:
        """Receive, at most `prefetch` unsettled at once.

        Raises:
            ClosedError: The queue does not exist, or may not be read.
        """
        await self.ask(commands.Basic.Qos(prefetch_count=prefetch), commands.Basic.QosOk)
        self._starts += 1
        # Before the answer: the broker may end the consumer right after it.
        self.consumer = consumer = str(self._starts)
        try:
            await self.ask(commands.Basic.Consume(queue=queue, consumer_tag=consumer), commands.Basic.ConsumeOk)
        except BaseException:
            self.consumer = None
            raise

    async def stop(self) -> None:
        """Receive nothing more.

        Raises:
            ClosedError: The channel is closed.
        """
        consumer, self.consumer = self.consumer, None
        if consumer is not None:
            await self.ask(commands.Basic.Cancel(consumer), commands.Basic.CancelOk)

    def ack(self, tag: int) -> None:
        """See `engine.Subscription.ack`."""
        if not self.alive:
            raise ConnectionLostError("the channel is closed")
        if self._settlements.ack(tag):
            self._connection.write_late(self._settlements.take)

    def nack(self, tag: int) -> None:
        """See `engine.Subscription.nack`."""
        if not self.alive:
            raise ConnectionLostError("the channel is closed")
        if self._settlements.give_back(tag):
            self._connection.write_late(self._settlements.take)

    def delivered(self, tag: int, body: bytes, redelivered: bool, headers: Mapping[str, Any]) -> None:  # noqa: FBT001
        """See `reader.Channel`. What comes after the closing was begun goes back by itself."""
        if not self.alive:
            return
        self._settlements.arrived(tag)
        try:
            self._on_arrival(tag, body, redelivered, headers)
        except Exception:
            log.exception("a delivery met an error of ours; it stays with this channel")

    def canceled(self, consumer_tag: str) -> None:
        """See `Channel.canceled`."""
        if consumer_tag == self.consumer:
            self.consumer = None
            if self.on_end is not None:
                self.on_end()

    def ended(self, error: ClosedError) -> None:  # noqa: ARG002
        """See `Channel.ended`."""
        self.consumer = None
        if self.on_end is not None:
            self.on_end()


def meaning(error: ClosedError, actor: str, queue: str) -> TransportError:
    """Say what a closed channel means to whoever wanted to receive."""
    if error.code == refusals.NOT_FOUND:
        return NoDestinationError(actor=actor, queue=queue)
    return refusals.general(error.code, error.text)
