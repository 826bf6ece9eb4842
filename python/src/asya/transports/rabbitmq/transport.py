"""The face: `asya.transports.base.Transport` over RabbitMQ."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from asya.errors import ConnectionLostError, LeaseLostError, NoDestinationError, TooLargeError, TransportError
from asya.transports.base import (
    Consumer,
    DeadLetters,
    Delivery,
    Depth,
    Limits,
    Link,
    Outgoing,
    QueueSpec,
    Settle,
    bodies,
)
from asya.transports.naming import QueueNames
from asya.transports.parts.backoff import FIRST_WAIT
from asya.transports.rabbitmq import dead_letter_headers
from asya.transports.rabbitmq.address import addresses
from asya.transports.rabbitmq.consumer import ActorConsumer, Token
from asya.transports.rabbitmq.control import Control
from asya.transports.rabbitmq.engine import Destination, Engine, OnBlocked, Publication
from asya.transports.rabbitmq.engines import starter
from asya.transports.rabbitmq.ladder import DUE_HEADER, Ladder
from asya.transports.rabbitmq.outcomes import Several, Then
from asya.transports.rabbitmq.session import Session
from asya.transports.rabbitmq.topology import dead_letter_key, is_actor
from asya.transports.settings import RabbitmqSettings

log = logging.getLogger(__name__)
FLUSH_SECONDS = 5.0
KNOWN_DESTINATIONS = 1024
"""How many are kept ready; a message may name any actor, so that there may be more."""


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
        self._start_engine = starter(settings.engine)
        self._session = Session(self._connect, self.link)
        self._control = Control(names, self._exchange, self._ladder, settings, self._addresses)
        self._consumers: list[ActorConsumer] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: set[asyncio.Future[Any]] = set()
        self._asking: set[asyncio.Task[None]] = set()
        self._seen: set[str] = set()
        self._destinations: dict[str, Destination] = {}

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
        done = self._pending()
        self._publish(messages, partial(self._end, done))
        return done

    def complete(
        self, delivery: Delivery, messages: Sequence[Outgoing] = (), settle: Settle = Settle.ACK, reason: str = ""
    ) -> asyncio.Future[None]:
        """See `Transport.complete`."""
        if messages and settle is not Settle.ACK:
            raise ValueError(f"{settle} takes no messages")
        token: Token = delivery.token
        done = self._pending()
        then = partial(self._settle, done, token, settle is Settle.RELEASE)
        if token.void:
            self._end(done, token.lost())
        elif settle is Settle.DEAD_LETTER:
            # Published and confirmed by ourselves instead of rejected: a reject loses the message without a word where
            # the queue was declared by others without a dead-letter exchange, and can lose it where the broker's
            # dead-lettering is at-most-once (classic queues; 3.10 without the feature flag stream_queue).
            headers = dead_letter_headers.written(reason, delivery.attempts)
            self._send_one(Publication(self._dead_letters(delivery.actor), delivery.body, headers), then)
        elif messages:
            self._publish(messages, then)
        else:
            then(None)
        return done

    async def extend(self, delivery: Delivery, seconds: float) -> None:  # noqa: ARG002  there is no lease to extend
        """See `Transport.extend`: RabbitMQ lets a delivery be held as long as the connection lives."""
        self._token(delivery).check()

    async def depth(self, actors: Sequence[str]) -> dict[str, Depth]:
        """See `Transport.depth`. `in_flight` needs the management API; `delayed` is known only where nothing is."""
        return await self._control.depth(actors)

    async def dead_letters(self, actor: str, limit: int) -> list[bytes]:
        """See `Transport.dead_letters`."""
        return await bodies(self.open_dead_letters(actor), limit)

    def open_dead_letters(self, actor: str) -> AbstractAsyncContextManager[DeadLetters]:
        """See `Transport.open_dead_letters`. Attempts of what the broker dead-letters need the management API."""
        return self._control.open_dead_letters(actor)

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

    def _pending(self) -> asyncio.Future[None]:
        if self._loop is None:
            # Kept, because asking for it is a system call.
            self._loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = self._loop.create_future()
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

    def _settle(self, done: asyncio.Future[None], token: Token, release: bool, error: BaseException | None) -> None:  # noqa: FBT001
        # Who has cancelled it decides anew what becomes of the delivery.
        if error is None and not done.done():
            try:
                token.settle(release=release)
            except LeaseLostError as lost:
                error = lost
        self._end(done, error)

    def _publish(self, messages: Sequence[Outgoing], then: Then) -> None:
        seen, limit = self._seen, self.limits.message_bytes
        if len(messages) == 1:
            (message,) = messages
            known = self._destinations.get(message.actor)
            if known is not None and message.delay <= 0 and message.actor in seen and len(message.body) <= limit:
                self._send_one(Publication(known, message.body), then)
                return
        unseen: set[str] = set()
        unsure = False
        for message in messages:
            if len(message.body) > limit:
                then(TooLargeError(actor=message.actor, size=len(message.body), limit=limit))
                return
            if message.actor not in seen:
                unseen.add(message.actor)
                unsure = unsure or message.delay > 0
        if unsure:
            # Nobody would notice a wrong destination before the time has come, so it is looked for now.
            asking = asyncio.get_running_loop().create_task(self._publish_after_asking(messages, then))
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)
            return
        try:
            publications = [self._publication(message) for message in messages]
        except NoDestinationError as error:
            then(error)
            return
        self._send(publications, partial(self._note, unseen, then) if unseen else then)

    async def _publish_after_asking(self, messages: Sequence[Outgoing], then: Then) -> None:
        try:
            _ = self._session.now
            for actor in {message.actor for message in messages if message.delay > 0} - self._seen:
                queue = self._check(actor)
                if not await self._control.exists(queue):
                    raise NoDestinationError(actor=actor, queue=queue)  # noqa: TRY301
                self._seen.add(actor)
        except BaseException as error:
            then(error)
            if not isinstance(error, TransportError):
                raise
        else:
            self._publish(messages, then)

    def _note(self, actors: set[str], then: Then, error: BaseException | None) -> None:
        """Take note of actors whose queues have just taken a message."""
        if error is None:
            self._seen |= actors
        then(error)

    def _send(self, publications: Sequence[Publication], then: Then) -> None:
        if len(publications) == 1:
            self._send_one(publications[0], then)
            return
        if not publications:
            then(None)
            return
        several = Several(len(publications), then)
        for index, publication in enumerate(publications):
            self._send_one(publication, several.part(index))

    def _send_one(self, publication: Publication, then: Then) -> None:
        try:
            engine = self._session.now
        except ConnectionLostError as error:
            then(error)
        else:
            engine.publish(publication, then)

    def _check(self, actor: str) -> str:
        """Return the name of an actor's queue, or say that there can be none."""
        queue = self._names.queue(actor)
        if not is_actor(actor):
            raise NoDestinationError(actor=actor, queue=queue)
        return queue

    def _publication(self, message: Outgoing) -> Publication:
        if message.delay <= 0:
            return Publication(self._destinations.get(message.actor) or self._destination(message.actor), message.body)
        self._check(message.actor)
        due = time.time() + message.delay
        headers = {DUE_HEADER: int(due * 1000)} if message.delay > self._ladder.longest else None
        exchange, key = self._ladder.route(message.delay, self._names.namespace, message.actor)
        return Publication(Destination(exchange, key, message.actor, exchange), message.body, headers)

    def _destination(self, actor: str) -> Destination:
        return self._keep(Destination(self._exchange, actor, actor, self._check(actor)))

    def _dead_letters(self, actor: str) -> Destination:
        key = dead_letter_key(actor)  # no name of an actor, so that it is told from the actor's own
        return self._destinations.get(key) or self._keep(
            Destination(self._exchange, key, actor, self._names.dead_letters(actor))
        )

    def _keep(self, destination: Destination) -> Destination:
        if len(self._destinations) >= KNOWN_DESTINATIONS:
            self._destinations.clear()
        self._destinations[destination.key] = destination
        return destination

    def _goes_round(self, token: Token, body: bytes, headers: Mapping[str, Any]) -> bool:
        """Send an arrival down the ladder again when its delay was longer than the ladder."""
        due = headers.get(DUE_HEADER)
        if not isinstance(due, int):
            return False
        left = due / 1000 - time.time()
        if left <= 0:
            return False
        self._start(self._go_round(token, Outgoing(token.consumer.actor, body, left)))
        return True

    async def _go_round(self, token: Token, message: Outgoing) -> None:
        try:
            await self.publish([message])
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
