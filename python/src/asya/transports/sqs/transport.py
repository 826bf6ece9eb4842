"""The face: `asya.transports.base.Transport` over SQS."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from asya.errors import DeniedError, LeaseLostError, NoDestinationError, SettingsError, TooLargeError, TransportError
from asya.transports.base import Consumer, Delivery, Depth, Limits, Link, Outgoing, QueueSpec, Settle, bodies
from asya.transports.naming import QueueNames
from asya.transports.settings import SqsSettings
from asya.transports.sqs.body import Text, encode
from asya.transports.sqs.claims import Claims, pointer
from asya.transports.sqs.consumer import ActorConsumer
from asya.transports.sqs.control import HOLD_SECONDS, Control
from asya.transports.sqs.dead_letters import SqsDeadLetters
from asya.transports.sqs.places import Place
from asya.transports.sqs.sending import Sender
from asya.transports.sqs.session import Session
from asya.transports.sqs.settling import Settler, State, Token

log = logging.getLogger(__name__)
FLUSH_SECONDS: Final = 5.0

T = TypeVar("T")


class SqsTransport:
    """One namespace's queues on SQS.

    Deliveries are leased for `settings.lease_seconds`; `extend` keeps them, for 12 hours at most.

    Raises:
        SettingsError: `settings.region` is not set.
    """

    name = "sqs"

    def __init__(self, names: QueueNames, settings: SqsSettings) -> None:
        if settings.region is None:
            raise SettingsError(["ASYA_AWS_REGION is not set; expected an AWS region"])
        self.link = Link()
        self._session = Session(names, settings, self.link)
        bucket = settings.claim_bucket
        self._claims = None if bucket is None else Claims(self._session, settings, bucket)
        self._sender = Sender(self._session, self._claims)
        self._settler = Settler(self._session)
        self._control = Control(self._session)
        self.limits = Limits(message_bytes=self._sender.limit, hold_seconds=HOLD_SECONDS)
        self._consumers: list[ActorConsumer] = []
        self._running: set[asyncio.Future[Any]] = set()

    async def open(self) -> None:
        """See `Transport.open`."""
        await self._session.open()

    async def close(self) -> None:
        """See `Transport.close`. May take as long as a long poll that is under way (`ASYA_SQS_WAIT`)."""
        consumers, self._consumers = self._consumers, []
        await asyncio.gather(*(consumer.close() for consumer in consumers))
        if self._running:
            # What SQS does not answer must not hold up the end.
            await asyncio.wait(self._running, timeout=FLUSH_SECONDS)
        held = [token for consumer in consumers for token in consumer.held if token.state is State.HELD]
        releasing = {asyncio.get_running_loop().create_task(self._give_back(token)) for token in held}
        if releasing:
            await asyncio.wait(releasing, timeout=FLUSH_SECONDS)
        if self._claims is not None:
            await self._claims.close()
        left = [task for task in (*self._running, *releasing) if not task.done()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._session.close()

    async def declare(self, queues: Sequence[QueueSpec]) -> None:
        """See `Transport.declare`."""
        await self._control.declare(queues)

    async def consume(self, actor: str, credit: int, on_delivery: Callable[[Delivery], None]) -> Consumer:
        """See `Transport.consume`."""
        place = await self._session.queue(actor)
        await self._look_at(place)
        consumer = ActorConsumer(self._session, self._sender, self._settler, self._claims, place, credit, on_delivery)
        self._consumers.append(consumer)
        consumer.start()
        return Consumer(set_credit=consumer.set_credit, close=lambda: self._start(consumer.close()))

    def publish(self, messages: Sequence[Outgoing]) -> asyncio.Future[None]:
        """See `Transport.publish`."""
        try:
            texts = self._sender.texts(messages)
        except TooLargeError as error:
            return _failed(error)
        return self._start(self._sender.send(messages, texts))

    def complete(
        self, delivery: Delivery, messages: Sequence[Outgoing] = (), settle: Settle = Settle.ACK, reason: str = ""
    ) -> asyncio.Future[None]:
        """See `Transport.complete`."""
        if messages and settle is not Settle.ACK:
            raise ValueError(f"{settle} takes no messages")
        token = _token(delivery)
        try:
            token.check()
            texts = self._sender.texts(messages)
        except (LeaseLostError, TooLargeError) as error:
            return _failed(error)
        match settle:
            case Settle.ACK:
                return self._start(self._acknowledge(token, messages, texts))
            case Settle.RELEASE:
                return self._start(self._settler.release(token))
            case Settle.DEAD_LETTER:
                return self._start(self._dead_letter(token, delivery, reason))

    async def extend(self, delivery: Delivery, seconds: float) -> None:
        """See `Transport.extend`; all that are asked for at once go in calls of ten."""
        await self._settler.extend(_token(delivery), seconds)

    async def depth(self, actors: Sequence[str]) -> dict[str, Depth]:
        """See `Transport.depth`. SQS's numbers are approximate; it does not tell the age of the oldest."""
        return await self._control.depth(actors)

    async def dead_letters(self, actor: str, limit: int) -> list[bytes]:
        """See `Transport.dead_letters`. They are hidden from others while they are looked at."""
        return await bodies(self.open_dead_letters(actor), limit)

    @contextlib.asynccontextmanager
    async def open_dead_letters(self, actor: str) -> AsyncIterator[SqsDeadLetters]:
        """See `Transport.open_dead_letters`."""
        own, dead = await self._session.queue(actor), await self._session.dead_letters(actor)
        letters = SqsDeadLetters(
            self._session, self._settler, self._sender, self._claims, own, dead, await self._limit(own)
        )
        try:
            await letters.open()
            yield letters
        finally:
            await letters.close()

    async def drop(self, actors: Sequence[str]) -> None:
        """See `Transport.drop`."""
        await self._control.drop(actors)

    async def _limit(self, own: Place) -> int | None:
        try:
            return await self._control.delivery_limit(own)
        except (DeniedError, NoDestinationError) as error:
            log.info("the delivery limit of queue %s is not known: %s", own.name, error)
            return None

    async def _look_at(self, place: Place) -> None:
        """See that the queue is there, say what of it does not fit, and take what it takes for what all queues take."""
        found = await self._control.attributes(place, ["RedrivePolicy", "MaximumMessageSize"])
        if not found.get("RedrivePolicy"):
            log.warning("queue %s has no redrive policy: a message that kills its consumers comes for ever", place.name)
        largest = int(found.get("MaximumMessageSize", 0))
        if 0 < largest < self._session.settings.message_bytes:
            log.info("queue %s takes messages of at most %d bytes, so none larger are sent", place.name, largest)
            self._sender.keep_to(largest)
            self.limits = replace(self.limits, message_bytes=self._sender.limit)

    async def _acknowledge(self, token: Token, messages: Sequence[Outgoing], texts: Sequence[Text]) -> None:
        if messages:
            await self._sender.send(messages, texts)
        await self._settler.delete(token)
        if token.claim is not None and self._claims is not None:
            self._claims.drop(token.claim)

    async def _dead_letter(self, token: Token, delivery: Delivery, reason: str) -> None:
        text = encode(delivery.body) if token.claim is None else pointer(token.claim)
        await self._sender.dead_letter(delivery.actor, text, reason, delivery.attempts)
        await self._settler.delete(token)

    async def _give_back(self, token: Token) -> None:
        try:
            await self._settler.release(token)
        except TransportError as error:
            log.debug("not released, SQS does it when the lease ends: %s", error)

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task


def _token(delivery: Delivery) -> Token:
    token = delivery.token
    assert isinstance(token, Token)  # noqa: S101  a delivery of another transport is a mistake of the caller
    return token


def _failed(error: TransportError) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return future
