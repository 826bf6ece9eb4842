"""The engine on aio-pika's protocol layer."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from asya.errors import ConnectionLostError, NoDestinationError, RefusedError, TooLargeError
from asya.transports.rabbitmq import client
from asya.transports.rabbitmq.address import Address
from asya.transports.rabbitmq.engine import Arrival, Engine, Publication, Subscription


class AiopikaEngine:
    """See `engine.Engine`."""

    def __init__(self, publishing: client.Connection, consuming: client.Connection) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.blocked: str | None = None
        self._publishing = publishing
        self._consuming = consuming
        self._channel: client.Channel | None = None
        self._opening = asyncio.Lock()
        self._ids = itertools.count(1)
        for connection in (publishing, consuming):
            connection.closing.add_done_callback(self._on_closing)

    async def publish(self, publication: Publication) -> None:
        """See `engine.Engine.publish`."""
        if self.blocked is not None:
            raise RefusedError(f"the broker takes no messages: {self.blocked}")
        channel = self._channel
        if channel is None or channel.is_closed:
            channel = await self._open_channel()
        try:
            with client.translated():
                await self._send(channel, publication)
        except ConnectionLostError as error:
            raise _explained(error, publication) from error.__cause__

    async def subscribe(
        self, queue: str, actor: str, on_arrival: Callable[[Arrival], None], on_end: Callable[[], None]
    ) -> Subscription:
        """See `engine.Engine.subscribe`."""
        with client.translated():
            channel = await client.open_channel(self._consuming)
            try:
                await channel.queue_declare(queue, passive=True)
            except client.ChannelNotFoundEntity as error:
                raise NoDestinationError(actor=actor, queue=queue) from error
        return AiopikaSubscription(channel, queue, actor, on_arrival, on_end)

    async def close(self) -> None:
        """See `engine.Engine.close`."""
        await asyncio.gather(client.close(self._consuming), client.close(self._publishing))

    async def _send(self, channel: client.Channel, publication: Publication) -> None:
        try:
            # The id is what a returned message is matched by; it must be unique on the channel. Without waiting for the
            # socket, publishes of one turn of the loop go out together; the confirmation is awaited in any case.
            await channel.basic_publish(
                publication.body,
                exchange=publication.exchange,
                routing_key=publication.key,
                properties=client.properties(str(next(self._ids)), publication.headers),
                mandatory=True,
                wait=False,
            )
        except client.PublishError as error:
            raise NoDestinationError(actor=publication.actor, queue=publication.queue) from error
        except client.DeliveryError as error:
            raise RefusedError(f"queue {publication.queue} rejects messages; it may be full") from error

    async def _open_channel(self) -> client.Channel:
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                with client.translated():
                    self._channel = await client.open_channel(self._publishing, confirms=True)
            return self._channel

    def _on_closing(self, closing: asyncio.Future[Any]) -> None:
        if not self.lost.done():
            error = None if closing.cancelled() else closing.exception()
            self.lost.set_result(str(error) if error is not None and str(error) else "the connection was closed")


class AiopikaSubscription:
    """See `engine.Subscription`."""

    def __init__(
        self,
        channel: client.Channel,
        queue: str,
        actor: str,
        on_arrival: Callable[[Arrival], None],
        on_end: Callable[[], None],
    ) -> None:
        self._channel, self._queue, self._actor = channel, queue, actor
        self._on_arrival, self._on_end = on_arrival, on_end
        self._tag: str | None = None
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

    async def ack(self, tag: int) -> None:
        """See `engine.Subscription.ack`."""
        with client.translated():
            await self._channel.basic_ack(tag, wait=False)

    async def nack(self, tag: int) -> None:
        """See `engine.Subscription.nack`."""
        with client.translated():
            await self._channel.basic_nack(tag, requeue=True, wait=False)

    async def close(self) -> None:
        """See `engine.Subscription.close`."""
        if not self._channel.is_closed:
            with client.translated():
                await self._channel.close()

    async def _deliver(self, message: client.DeliveredMessage) -> None:
        self._on_arrival(
            Arrival(
                tag=message.delivery_tag or 0,
                body=message.body,
                redelivered=bool(message.redelivered),
                headers=message.header.properties.headers or {},
            )
        )

    async def _cancelled(self, _: object) -> None:
        # The broker stopped it, as when the queue is deleted or moves. Runs in the channel's reader: no calls here.
        self._tag = None
        self._on_end()


async def connect(address: Address, on_blocked: Callable[[str | None], None]) -> Engine:
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


def _explained(error: ConnectionLostError, publication: Publication) -> Exception:
    """Say what a closed channel means for one of the messages that were on the way by it."""
    cause, text = error.__cause__, str(error)
    if isinstance(cause, client.ChannelNotFoundEntity) and f"'{publication.exchange}'" in text:
        return NoDestinationError(actor=publication.actor, queue=publication.queue)
    if isinstance(cause, client.ChannelPreconditionFailed) and f"message size {len(publication.body)} " in text:
        limit = int("".join(filter(str.isdigit, text.rpartition("size")[2])) or 0)
        return TooLargeError(actor=publication.actor, size=len(publication.body), limit=limit)
    return error
