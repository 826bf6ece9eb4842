"""The face: `engine.Engine` over two connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pamqp import commands

from asya.errors import ConnectionLostError
from asya.transports.rabbitmq import refusals
from asya.transports.rabbitmq.address import Address
from asya.transports.rabbitmq.engine import Engine, OnArrival, OnBlocked
from asya.transports.rabbitmq.fast import handshake
from asya.transports.rabbitmq.fast.connection import Connection
from asya.transports.rabbitmq.fast.errors import ClosedError
from asya.transports.rabbitmq.fast.publisher import Publisher
from asya.transports.rabbitmq.fast.subscription import FastSubscription, meaning


class FastEngine:
    """See `engine.Engine`."""

    def __init__(self, publishing: Connection, consuming: Connection, publisher: Publisher) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.publish = publisher.publish
        self._publishing, self._consuming, self._publisher = publishing, consuming, publisher
        for connection in (publishing, consuming):
            connection.on_end = self._lose

    async def subscribe(
        self, queue: str, actor: str, on_arrival: OnArrival, on_end: Callable[[], None]
    ) -> FastSubscription:
        """See `engine.Engine.subscribe`."""
        try:
            subscription = await self._open(queue, actor, on_arrival)
        except ClosedError as error:
            raise meaning(error, actor, queue) from error
        subscription.on_end = on_end
        return subscription

    async def close(self) -> None:
        """See `engine.Engine.close`."""
        await asyncio.gather(self._consuming.close(), self._publishing.close())

    async def _open(self, queue: str, actor: str, on_arrival: OnArrival) -> FastSubscription:
        subscription = FastSubscription(self._consuming, queue, actor, on_arrival)
        try:
            await subscription.open()
            try:
                await subscription.ask(commands.Queue.Declare(queue=queue, passive=True), commands.Queue.DeclareOk)
            except ClosedError as error:
                if error.code != refusals.ACCESS_REFUSED or not self._consuming.alive:
                    raise
                # 4.2.6 and 4.3.0 want the permission to configure for this question, which a consumer has no need of.
                # Whether it may read is found out when it starts to.
                subscription = FastSubscription(self._consuming, queue, actor, on_arrival)
                await subscription.open()
        except asyncio.CancelledError:
            subscription.give_up()
            raise
        return subscription

    def _lose(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)
        self._publisher.end(ConnectionLostError(reason))


async def connect(address: Address, on_blocked: OnBlocked) -> Engine:
    """Open both connections to one host; `on_blocked` hears why the broker takes no messages, and None when it does."""
    publishers: list[Publisher] = []

    def blocked(reason: str | None) -> None:
        for publisher in publishers:
            publisher.block(reason)
        on_blocked(reason)

    publishing = await handshake.connect(address, "publish", blocked)
    try:
        consuming = await handshake.connect(address, "consume")
    except BaseException:
        await publishing.close()
        raise
    publishers.append(Publisher(publishing))
    return FastEngine(publishing, consuming, publishers[0])
