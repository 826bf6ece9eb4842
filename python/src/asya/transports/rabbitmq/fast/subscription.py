"""A channel that receives from one queue."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
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
ACKS, ACK_SECONDS = 16, 0.002
"""How many acknowledgements go out together, and how long the first of them waits at most. An eighth of the prefetch is
enough, so that the broker never has to wait for them. A quorum queue writes to its log for each frame."""


class FastSubscription(Channel):
    """See `engine.Subscription`."""

    def __init__(self, connection: Connection, queue: str, actor: str, on_arrival: OnArrival) -> None:
        super().__init__(connection)
        self.on_end: Callable[[], None] | None = None
        self._queue, self._actor = queue, actor
        self._on_arrival = on_arrival
        self._settlements = Settlements(self.number)
        self._acks = 1
        self._due: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._consumer: str | None = None
        self._starts = 0

    @property
    def running(self) -> bool:
        """See `engine.Subscription.running`."""
        return self._consumer is not None and self.alive

    async def start(self, prefetch: int) -> None:
        """See `engine.Subscription.start`."""
        self._starts += 1
        self._acks = max(1, min(ACKS, prefetch // 8))
        consumer = str(self._starts)
        with self._translated():
            await self.ask(commands.Basic.Qos(prefetch_count=min(prefetch, LARGEST_PREFETCH)), commands.Basic.QosOk)
            # Before the answer: the broker may end the consumer right after it.
            self._consumer = consumer
            try:
                await self.ask(
                    commands.Basic.Consume(queue=self._queue, consumer_tag=consumer), commands.Basic.ConsumeOk
                )
            except BaseException:
                self._consumer = None
                raise

    async def stop(self) -> None:
        """See `engine.Subscription.stop`."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with self._translated():
                await self.ask(commands.Basic.Cancel(consumer), commands.Basic.CancelOk)

    async def close(self) -> None:
        """See `engine.Subscription.close`."""
        with self._translated():
            await super().close()

    def ack(self, tag: int) -> None:
        """See `engine.Subscription.ack`; several go out together."""
        if not self.alive:
            raise ConnectionLostError("the channel is closed")
        waiting = self._settlements.ack(tag)
        if waiting == self._acks:
            self._connection.write_late(self._settlements.take)
        elif waiting == 1 and self._due is None:
            self._due = self._loop.call_later(ACK_SECONDS, self.hurry)

    def nack(self, tag: int) -> None:
        """See `engine.Subscription.nack`."""
        if not self.alive:
            raise ConnectionLostError("the channel is closed")
        if self._settlements.give_back(tag):
            self._connection.write_late(self._settlements.take)

    def hurry(self) -> None:
        """See `Channel.hurry`: acknowledge now."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self.alive:
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
        if consumer_tag == self._consumer:
            self._consumer = None
            if self.on_end is not None:
                self.on_end()

    def ended(self, error: ClosedError) -> None:  # noqa: ARG002
        """See `Channel.ended`."""
        self._consumer = None
        if self._due is not None:
            self._due.cancel()
        if self.on_end is not None:
            self.on_end()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except ClosedError as error:
            raise meaning(error, self._actor, self._queue) from error


def meaning(error: ClosedError, actor: str, queue: str) -> TransportError:
    """Say what a closed channel means to whoever wanted to receive."""
    if error.code == refusals.NOT_FOUND:
        return NoDestinationError(actor=actor, queue=queue)
    return refusals.general(error.code, error.text)
