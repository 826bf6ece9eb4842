"""The face: `asya.transports.base.Transport` over Google Pub/Sub."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final

from asya.errors import NoDestinationError, SettingsError, TooLargeError
from asya.transports.base import Consumer, Delivery, Depth, Limits, Link, Outgoing, QueueSpec, Settle, bodies
from asya.transports.naming import QueueNames
from asya.transports.pubsub.addresses import Addresses
from asya.transports.pubsub.batches import Then
from asya.transports.pubsub.connection import Connection
from asya.transports.pubsub.consumer import ActorConsumer
from asya.transports.pubsub.control import Control
from asya.transports.pubsub.dead_letters import PubsubDeadLetters, said_of
from asya.transports.pubsub.delays import DELAY, Delays
from asya.transports.pubsub.endpoint import endpoint
from asya.transports.pubsub.leases import Token
from asya.transports.pubsub.publisher import Publication, Publisher, Topic
from asya.transports.settings import PubsubSettings

log = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 5.0


class PubsubTransport:
    """One namespace's topics and subscriptions in one project."""

    name = "pubsub"

    def __init__(self, names: QueueNames, settings: PubsubSettings) -> None:
        if settings.project is None:
            raise SettingsError(
                ["ASYA_PUBSUB_PROJECT_ID is not set; expected a project's id, because ASYA_TRANSPORT is pubsub"]
            )
        where = endpoint(settings.endpoint)
        self.limits = Limits(message_bytes=settings.message_bytes)
        self.link = Link()
        self._addresses = Addresses(settings.project, names)
        self._connection = Connection(where, self.link)
        self._publisher = Publisher(self._connection, ordered=settings.ordered)
        self._lease_seconds = max(1, round(settings.lease_seconds))
        self._control = Control(
            self._connection, self._addresses, lease_seconds=self._lease_seconds, ordered=settings.ordered
        )
        # Emulators pay no heed to a stream's flow control, so whoever came first would get everything.
        self._stream = not where.plain if settings.receive is None else settings.receive == "stream"
        self._consumers: list[tuple[ActorConsumer, Delays]] = []
        self._running: set[asyncio.Future[Any]] = set()

    async def open(self) -> None:
        """See `Transport.open`."""
        await self._connection.open()

    async def close(self) -> None:
        """See `Transport.close`."""
        consumers, self._consumers = self._consumers, []
        await asyncio.gather(*(part.close() for pair in consumers for part in pair))
        if self._running:
            # What the broker does not confirm must not hold up the end.
            await asyncio.wait(self._running, timeout=FLUSH_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await asyncio.gather(*(consumer.release() for consumer, _ in consumers))
        await self._connection.close()

    async def declare(self, queues: Sequence[QueueSpec]) -> None:
        """See `Transport.declare`."""
        await self._control.declare(queues)

    async def consume(self, actor: str, credit: int, on_delivery: Callable[[Delivery], None]) -> Consumer:
        """See `Transport.consume`."""
        subscription = self._addresses.subscription(self._addresses.queue(actor))
        consumer = ActorConsumer(
            self._connection,
            actor,
            subscription,
            credit,
            on_delivery,
            lease_seconds=self._lease_seconds,
            stream=self._stream,
        )
        try:
            await consumer.open()
        except NoDestinationError as error:
            raise NoDestinationError(actor=actor, queue=self._addresses.queue(actor)) from error
        delays = Delays(
            self._connection,
            actor,
            self._addresses.subscription(self._addresses.delayed(actor)),
            partial(self._forward, actor),
        )
        delays.start()
        self._consumers.append((consumer, delays))
        return Consumer(set_credit=consumer.set_credit, close=lambda: self._start(_close(consumer, delays)))

    def publish(self, messages: Sequence[Outgoing]) -> asyncio.Future[None]:
        """See `Transport.publish`."""
        done = self._pending()
        self._publish(messages, partial(self._end, done))
        return done

    def complete(
        self, delivery: Delivery, messages: Sequence[Outgoing] = (), settle: Settle = Settle.ACK, reason: str = ""
    ) -> asyncio.Future[None]:
        """See `Transport.complete`."""
        if messages and settle is not Settle.ACK:
            raise ValueError(f"{settle} takes no messages")
        token = _token(delivery)
        done = self._pending()
        then = partial(self._settle, done, token, settle is Settle.RELEASE)
        if (lost := token.lost()) is not None:
            token.leases.give_up(token)
            self._end(done, lost)
        elif settle is Settle.DEAD_LETTER:
            topic = Topic(self._addresses.topic(self._addresses.dead_letters(delivery.actor)), delivery.actor)
            self._publisher.send(Publication(topic, delivery.body, said_of(reason, delivery.attempts)), then)
        elif messages:
            self._publish(messages, then)
        else:
            then(None)
        return done

    async def extend(self, delivery: Delivery, seconds: float) -> None:
        """See `Transport.extend`."""
        token = _token(delivery)
        await token.leases.extend(token, seconds)

    async def depth(self, actors: Sequence[str]) -> dict[str, Depth]:
        """See `Transport.depth`."""
        return await self._control.depth(actors)

    async def dead_letters(self, actor: str, limit: int) -> list[bytes]:
        """See `Transport.dead_letters`."""
        return await bodies(self.open_dead_letters(actor), limit)

    @contextlib.asynccontextmanager
    async def open_dead_letters(self, actor: str) -> AsyncIterator[PubsubDeadLetters]:
        """See `Transport.open_dead_letters`."""
        addresses = self._addresses
        subscription = addresses.subscription(addresses.dead_letters(actor))
        letters = PubsubDeadLetters(self._connection, actor, subscription, partial(self._forward, actor))
        try:
            await letters.open()
            yield letters
        finally:
            await letters.close()

    async def drop(self, actors: Sequence[str]) -> None:
        """See `Transport.drop`."""
        await self._control.drop(actors)

    async def _forward(self, actor: str, body: bytes) -> None:
        await self.publish([Outgoing(actor, body)])

    def _publish(self, messages: Sequence[Outgoing], then: Then) -> None:
        for message in messages:
            if len(message.body) > self.limits.message_bytes:
                then(TooLargeError(actor=message.actor, size=len(message.body), limit=self.limits.message_bytes))
                return
        if not messages:
            then(None)
        elif len(messages) == 1:
            self._publisher.send(self._publication(messages[0]), then)
        else:
            failures: list[BaseException | None] = [None] * len(messages)
            left = len(messages)

            def heard(index: int, error: BaseException | None) -> None:
                nonlocal left
                failures[index], left = error, left - 1
                if not left:
                    then(next((failure for failure in failures if failure is not None), None))

            for index, message in enumerate(messages):
                self._publisher.send(self._publication(message), partial(heard, index))

    def _publication(self, message: Outgoing) -> Publication:
        addresses = self._addresses
        if message.delay <= 0:
            return Publication(Topic(addresses.topic(addresses.queue(message.actor)), message.actor), message.body, {})
        topic = Topic(addresses.topic(addresses.delayed(message.actor)), message.actor)
        return Publication(topic, message.body, {DELAY: str(round(message.delay * 1000))})

    def _settle(self, done: asyncio.Future[None], token: Token, release: bool, error: BaseException | None) -> None:  # noqa: FBT001
        if error is not None:
            self._end(done, error)
        elif done.done():
            # Who has cancelled it decides anew what becomes of the delivery.
            self._running.discard(done)
        else:
            (token.leases.release if release else token.leases.ack)(token, partial(self._end, done))

    def _pending(self) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running.add(done)
        return done

    def _end(self, done: asyncio.Future[None], error: BaseException | None) -> None:
        self._running.discard(done)
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task


async def _close(consumer: ActorConsumer, delays: Delays) -> None:
    await asyncio.gather(consumer.close(), delays.close())


def _token(delivery: Delivery) -> Token:
    token = delivery.token
    assert isinstance(token, Token)  # noqa: S101  a delivery of another transport is a mistake of the caller
    return token
