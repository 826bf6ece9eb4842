"""The engine on aio-pika's protocol layer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from asya.errors import ConnectionLostError, NoDestinationError, RefusedError, TransportError
from asya.transports.rabbitmq import client
from asya.transports.rabbitmq.address import Address
from asya.transports.rabbitmq.engine import (
    NO_HEADERS,
    Engine,
    OnArrival,
    OnBlocked,
    OnPublished,
    Publication,
    Subscription,
)
from asya.transports.rabbitmq.publisher import Publisher
from asya.transports.rabbitmq.settlements import Settlements


class AiopikaEngine:
    """See `engine.Engine`."""

    def __init__(self, publishing: client.Connection, consuming: client.Connection) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.blocked: str | None = None
        self._publishing = publishing
        self._consuming = consuming
        self._publisher: Publisher | None = None
        self._opening: asyncio.Task[None] | None = None
        self._waiting: list[tuple[Publication, OnPublished]] = []
        """For the publisher's channel to be opened."""
        for connection in (publishing, consuming):
            connection.closing.add_done_callback(self._on_closing)

    def publish(self, publication: Publication, on_published: OnPublished) -> None:
        """See `engine.Engine.publish`."""
        if self.blocked is not None:
            on_published(RefusedError(f"the broker takes no messages: {self.blocked}"))
        elif self._publisher is not None and self._publisher.alive:
            self._publisher.send(publication, on_published)
        else:
            self._waiting.append((publication, on_published))
            if self._opening is None or self._opening.done():
                self._opening = asyncio.get_running_loop().create_task(self._open_publisher())

    async def subscribe(
        self, queue: str, actor: str, on_arrival: OnArrival, on_end: Callable[[], None]
    ) -> Subscription:
        """See `engine.Engine.subscribe`."""
        with client.translated():
            channel = await client.open_channel(self._consuming)
            try:
                await channel.queue_declare(queue, passive=True)
            except client.ChannelNotFoundEntity as error:
                raise NoDestinationError(actor=actor, queue=queue) from error
            except client.ChannelAccessRefused:
                # 4.2.6 and 4.3.0 want the permission to configure for this question, which a consumer has no need of.
                # Whether it may read is found out when it starts to.
                channel = await client.open_channel(self._consuming)
        return AiopikaSubscription(self._consuming, channel, queue, actor, on_arrival, on_end)

    async def close(self) -> None:
        """See `engine.Engine.close`."""
        await asyncio.gather(client.close(self._consuming), client.close(self._publishing))

    async def _open_publisher(self) -> None:
        """Open a channel for what waits, and send it or tell why it cannot be sent."""
        try:
            with client.translated():
                channel = await client.open_channel(self._publishing, confirms=True)
        except TransportError as error:
            waiting, self._waiting = self._waiting, []
            for _, on_published in waiting:
                on_published(error)
            return
        self._publisher = Publisher(self._publishing, channel)
        waiting, self._waiting = self._waiting, []
        for publication, on_published in waiting:
            self._publisher.send(publication, on_published)

    def _on_closing(self, closing: asyncio.Future[Any]) -> None:
        if not self.lost.done():
            error = None if closing.cancelled() else closing.exception()
            self.lost.set_result(str(error) if error is not None and str(error) else "the connection was closed")


class AiopikaSubscription:
    """See `engine.Subscription`."""

    def __init__(
        self,
        connection: client.Connection,
        channel: client.Channel,
        queue: str,
        actor: str,
        on_arrival: OnArrival,
        on_end: Callable[[], None],
    ) -> None:
        self._connection, self._channel = connection, channel
        self._queue, self._actor = queue, actor
        self._on_arrival, self._on_end = on_arrival, on_end
        self._tag: str | None = None
        self._settlements = Settlements(channel.number)
        channel.closing.add_done_callback(lambda _: on_end())
        channel.on_consumer_cancel_callbacks.add(self._cancelled)

    @property
    def alive(self) -> bool:
        """See `engine.Subscription.alive`."""
        return not self._channel.is_closed

    @property
    def running(self) -> bool:
        """See `engine.Subscription.running`."""
        return self._tag is not None and self.alive

    async def start(self, prefetch: int) -> None:
        """See `engine.Subscription.start`."""
        with client.translated():
            await self._channel.basic_qos(prefetch_count=prefetch)
            try:
                consuming = await self._channel.basic_consume(self._queue, self._deliver)
            except client.ChannelNotFoundEntity as error:
                raise NoDestinationError(actor=self._actor, queue=self._queue) from error
            self._tag = consuming.consumer_tag

    async def stop(self) -> None:
        """See `engine.Subscription.stop`."""
        tag, self._tag = self._tag, None
        if tag is not None:
            with client.translated():
                await self._channel.basic_cancel(tag)
            # The library hands each delivery to a task of its own; those that came before the answer run in this turn.
            await asyncio.sleep(0)

    def ack(self, tag: int) -> None:
        """See `engine.Subscription.ack`."""
        self._check()
        if self._settlements.ack(tag) == 1:
            self._connection.send(self._settlements.take)

    def nack(self, tag: int) -> None:
        """See `engine.Subscription.nack`."""
        self._check()
        if self._settlements.give_back(tag):
            self._connection.send(self._settlements.take)

    async def close(self) -> None:
        """See `engine.Subscription.close`."""
        if not self._channel.is_closed:
            self._connection.flush()
            with client.translated():
                await self._channel.close()

    def _check(self) -> None:
        if self._channel.is_closed:
            raise ConnectionLostError("the channel is closed")

    async def _deliver(self, message: client.DeliveredMessage) -> None:
        tag = message.delivery_tag or 0
        self._settlements.arrived(tag)
        headers = message.header.properties.headers or NO_HEADERS
        self._on_arrival(tag, message.body, bool(message.redelivered), headers)

    async def _cancelled(self, _: object) -> None:
        # The broker stopped it, as when the queue is deleted or moves. Runs in the channel's reader: no calls here.
        self._tag = None
        self._on_end()


async def connect(address: Address, on_blocked: OnBlocked) -> Engine:
    """Open both connections to one host; `on_blocked` hears why the broker takes no messages, and None when it does."""
    engines: list[AiopikaEngine] = []

    def blocked(reason: str | None) -> None:
        for engine in engines:
            engine.blocked = reason
        on_blocked(reason)

    publishing = await client.connect(address, "publish", blocked)
    try:
        consuming = await client.connect(address, "consume")
    except BaseException:
        await client.close(publishing)
        raise
    engines.append(AiopikaEngine(publishing, consuming))
    return engines[0]
