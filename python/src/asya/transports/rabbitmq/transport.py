"""The face: `asya.transports.base.Transport` over RabbitMQ."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from asya.errors import ConnectionLostError, NoDestinationError, TooLargeError, TransportError
from asya.transports.base import Consumer, Delivery, Depth, Limits, Link, Outgoing, QueueSpec, Settle
from asya.transports.naming import QueueNames
from asya.transports.rabbitmq import aiopika
from asya.transports.rabbitmq.address import Address, addresses
from asya.transports.rabbitmq.consumer import ActorConsumer, Token
from asya.transports.rabbitmq.control import Control
from asya.transports.rabbitmq.engine import Arrival, Engine, OnBlocked, Publication
from asya.transports.rabbitmq.ladder import DUE_HEADER, Ladder
from asya.transports.rabbitmq.session import FIRST_WAIT, Session
from asya.transports.rabbitmq.topology import dead_letter_key, is_actor
from asya.transports.settings import RabbitmqSettings

log = logging.getLogger(__name__)
FLUSH_SECONDS = 5.0
_ENGINES: dict[str, Callable[[Address, OnBlocked], Awaitable[Engine]]] = {"aio-pika": aiopika.connect}


class RabbitmqTransport:
    """One namespace's queues on RabbitMQ. `ladder` is the same for all who share a virtual host."""

    name = "rabbitmq"

    def __init__(self, names: QueueNames, settings: RabbitmqSettings, ladder: Ladder | None = None) -> None:
        self.limits = Limits(message_bytes=settings.message_bytes)
        self.link = Link()
        self._names = names
        self._exchange = settings.exchange or names.exchange
        self._ladder = ladder or Ladder()
        self._addresses = addresses(settings)
        self._start_engine = _ENGINES[settings.engine]
        self._session = Session(self._connect, self.link)
        self._control = Control(names, self._exchange, self._ladder, settings, self._addresses)
        self._consumers: list[ActorConsumer] = []
        self._running: set[asyncio.Task[Any]] = set()
        self._seen: set[str] = set()

    async def open(self) -> None:
        """See `Transport.open`."""
        await self._session.open()

    async def close(self) -> None:
        """See `Transport.close`."""
        consumers, self._consumers = self._consumers, []
        await asyncio.gather(*(consumer.close() for consumer in consumers))
        if self._running:
            # Publishes that the broker does not confirm, being blocked say, must not hold up the end.
            await asyncio.wait(self._running, timeout=FLUSH_SECONDS)
        await asyncio.gather(*(consumer.release() for consumer in consumers))
        await self._control.close()
        await self._session.close()

    async def declare(self, queues: Sequence[QueueSpec]) -> None:
        """See `Transport.declare`."""
        await self._control.declare(queues)

    async def consume(self, actor: str, credit: int, on_delivery: Callable[[Delivery], None]) -> Consumer:
        """See `Transport.consume`."""
        self._check(actor)
        consumer = ActorConsumer(self._session, actor, self._names.queue(actor), credit, on_delivery, self._goes_round)
        self._consumers.append(consumer)
        try:
            await consumer.open()
        except BaseException:
            self._consumers.remove(consumer)
            await consumer.close()
            raise
        self._seen.add(actor)
        return Consumer(set_credit=consumer.set_credit, close=lambda: self._start(consumer.close()))

    def publish(self, messages: Sequence[Outgoing]) -> asyncio.Future[None]:
        """See `Transport.publish`."""
        return self._start(self._publish(messages))

    def complete(
        self, delivery: Delivery, messages: Sequence[Outgoing] = (), settle: Settle = Settle.ACK
    ) -> asyncio.Future[None]:
        """See `Transport.complete`."""
        if messages and settle is not Settle.ACK:
            raise ValueError(f"{settle} takes no messages")
        return self._start(self._complete(delivery, messages, settle))

    async def extend(self, delivery: Delivery, seconds: float) -> None:  # noqa: ARG002  there is no lease to extend
        """See `Transport.extend`: RabbitMQ lets a delivery be held as long as the connection lives."""
        self._token(delivery).check()

    async def depth(self, actors: Sequence[str]) -> dict[str, Depth]:
        """See `Transport.depth`. `in_flight` needs the management API; `delayed` is known only where nothing is."""
        return await self._control.depth(actors)

    async def dead_letters(self, actor: str, limit: int) -> list[bytes]:
        """See `Transport.dead_letters`."""
        return await self._control.dead_letters(actor, limit)

    async def drop(self, actors: Sequence[str]) -> None:
        """See `Transport.drop`."""
        await self._control.drop(actors)
        self._seen.difference_update(actors)

    async def _connect(self, on_blocked: OnBlocked) -> Engine:
        problems: list[str] = []
        for address in self._addresses:
            try:
                engine = await self._start_engine(address, on_blocked)
            except ConnectionLostError as error:
                problems.append(str(error))
            else:
                self._seen.clear()
                return engine
        raise ConnectionLostError("; ".join(problems))

    async def _complete(self, delivery: Delivery, messages: Sequence[Outgoing], settle: Settle) -> None:
        token = self._token(delivery)
        token.check()
        if settle is Settle.DEAD_LETTER:
            # Published and confirmed by ourselves instead of rejected: a reject loses the message without a word where
            # the queue was declared by others without a dead-letter exchange, and can lose it where the broker's
            # dead-lettering is at-most-once (classic queues; 3.10 without the feature flag stream_queue).
            key, queue = dead_letter_key(delivery.actor), self._names.dead_letters(delivery.actor)
            await self._session.now.publish([Publication(self._exchange, key, delivery.body, delivery.actor, queue)])
        elif messages:
            await self._publish(messages)
        token.settle(release=settle is Settle.RELEASE)

    async def _publish(self, messages: Sequence[Outgoing]) -> None:
        for message in messages:
            if len(message.body) > self.limits.message_bytes:
                raise TooLargeError(actor=message.actor, size=len(message.body), limit=self.limits.message_bytes)
        engine = self._session.now
        await engine.publish([await self._publication(message) for message in messages])
        self._seen.update(message.actor for message in messages)

    def _check(self, actor: str) -> str:
        """Return the name of an actor's queue, or say that there can be none."""
        queue = self._names.queue(actor)
        if not is_actor(actor):
            raise NoDestinationError(actor=actor, queue=queue)
        return queue

    async def _publication(self, message: Outgoing) -> Publication:
        queue = self._check(message.actor)
        if message.delay <= 0:
            return Publication(self._exchange, message.actor, message.body, message.actor, queue)
        # Nobody would notice a wrong destination before the time has come, so it is looked for now.
        if message.actor not in self._seen:
            if not await self._control.exists(queue):
                raise NoDestinationError(actor=message.actor, queue=queue)
            self._seen.add(message.actor)
        due = time.time() + message.delay
        headers = {DUE_HEADER: int(due * 1000)} if message.delay > self._ladder.longest else None
        exchange, key = self._ladder.route(message.delay, self._names.namespace, message.actor)
        return Publication(exchange, key, message.body, message.actor, exchange, headers)

    def _goes_round(self, token: Token, arrival: Arrival) -> bool:
        """Send an arrival down the ladder again when its delay was longer than the ladder."""
        due = arrival.headers.get(DUE_HEADER)
        if not isinstance(due, int):
            return False
        left = due / 1000 - time.time()
        if left <= 0:
            return False
        self._start(self._go_round(token, Outgoing(token.consumer.actor, arrival.body, left)))
        return True

    async def _go_round(self, token: Token, message: Outgoing) -> None:
        try:
            await self._publish([message])
            token.settle()
        except TransportError as error:
            log.warning("a message delayed for long could not be sent on, it is given back: %s", error)
            await asyncio.sleep(FIRST_WAIT)
            if not token.settled and token.subscription.alive:
                token.settle(release=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    @staticmethod
    def _token(delivery: Delivery) -> Token:
        token = delivery.token
        assert isinstance(token, Token)  # noqa: S101  a delivery of another transport is a mistake of the caller
        return token
