"""All of a transport but what its broker does, for brokers that are asked for messages and lease them."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from asya.errors import ConnectionLostError, LeaseLostError, TooLargeError, TransportError
from asya.transports.base import Consumer, DeadLetters, Delivery, Limits, Link, Outgoing, Settle, bodies
from asya.transports.parts.leased_consumer import Held, LeasedConsumer, Source, lost
from asya.transports.parts.link_keeper import LinkKeeper


class LeasedTransport(ABC):
    """Checks, counts and closes; see `base.Transport` for what is asked of it."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.link = limits, Link()
        self.keeper = LinkKeeper(self.link, self._connect)
        self._consumers: list[LeasedConsumer] = []

    @abstractmethod
    async def _connect(self) -> None:
        """Make a connection that works, anew if there was one; raises `ConnectionLostError` for what may heal."""

    @abstractmethod
    async def _source(self, actor: str) -> Source:
        """Return the queue of an actor, for one consumer; raises `NoDestinationError` where there is none."""

    @abstractmethod
    def _carry_out(
        self, messages: Sequence[Outgoing], held: Held | None, settle: Settle, reason: str
    ) -> asyncio.Future[None]:
        """Publish, wait for the confirmation, then settle `held` if there is one; see `Transport.complete`."""

    @abstractmethod
    async def _disconnect(self) -> None:
        """Wait for what is under way, for some time, and disconnect. Idempotent."""

    @abstractmethod
    def open_dead_letters(self, actor: str) -> AbstractAsyncContextManager[DeadLetters]:
        """See `Transport.open_dead_letters`."""

    async def open(self) -> None:
        """See `Transport.open`."""
        await self.keeper.open()

    async def close(self) -> None:
        """See `Transport.close`."""
        consumers, self._consumers = self._consumers, []
        await asyncio.gather(*(consumer.stop() for consumer in consumers))
        held = [each for consumer in consumers for each in consumer.out.values()]
        # What cannot be given back comes again when its lease is over.
        await asyncio.gather(*(self._settle((), each, Settle.RELEASE, "") for each in held), return_exceptions=True)
        for consumer in consumers:
            consumer.out.clear()
        await self._disconnect()
        await self.keeper.close()

    async def consume(self, actor: str, credit: int, on_delivery: Callable[[Delivery], None]) -> Consumer:
        """See `Transport.consume`."""
        consumer = LeasedConsumer(await self._source(actor), self.link, actor, credit, on_delivery)
        self._consumers.append(consumer)
        return Consumer(consumer.set_credit, lambda: asyncio.ensure_future(consumer.close()))

    def publish(self, messages: Sequence[Outgoing]) -> asyncio.Future[None]:
        """See `Transport.publish`."""
        return self._settle(messages, None, Settle.ACK, "")

    def complete(
        self, delivery: Delivery, messages: Sequence[Outgoing] = (), settle: Settle = Settle.ACK, reason: str = ""
    ) -> asyncio.Future[None]:
        """See `Transport.complete`."""
        if messages and settle is not Settle.ACK:
            raise ValueError(f"{settle} takes no messages")
        held: Held = delivery.token
        if held.lost:
            held.settled()
            return _failed(lost())
        return self._settle(messages, held, settle, reason)

    async def extend(self, delivery: Delivery, seconds: float) -> None:
        """See `Transport.extend`."""
        await delivery.token.consumer.extend(delivery.token, seconds)

    async def dead_letters(self, actor: str, limit: int) -> list[bytes]:
        """See `Transport.dead_letters`."""
        return await bodies(self.open_dead_letters(actor), limit)

    def _settle(
        self, messages: Sequence[Outgoing], held: Held | None, settle: Settle, reason: str
    ) -> asyncio.Future[None]:
        for each in messages:
            if len(each.body) > self.limits.message_bytes:
                return _failed(TooLargeError(actor=each.actor, size=len(each.body), limit=self.limits.message_bytes))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # A future of its own: a caller that gives up waiting must not end what is under way.
        carried = self._carry_out(messages, held, settle, reason)
        carried.add_done_callback(partial(self._carried, messages, held, done))
        return done

    def _carried(
        self,
        messages: Sequence[Outgoing],
        held: Held | None,
        done: asyncio.Future[None],
        carried: asyncio.Future[None],
    ) -> None:
        error = ConnectionLostError("closed meanwhile") if carried.cancelled() else carried.exception()
        if held is not None and (error is None or isinstance(error, LeaseLostError)):
            held.settled()
        for consumer in self._consumers:
            if error is None and any(each.delay > 0 and each.actor == consumer.actor for each in messages):
                consumer.poke()
        if not done.done():
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)


def _failed(error: TransportError) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return future
