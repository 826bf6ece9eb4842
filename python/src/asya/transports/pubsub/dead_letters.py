"""Dead letters on Pub/Sub: pulled, held by their leases for as long as somebody looks, and given back at the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Final

from asya.errors import LeaseLostError, NoDestinationError, TransportError
from asya.transports.base import DELIVERY_LIMIT, DeadLetter
from asya.transports.pubsub.connection import Connection
from asya.transports.pubsub.consumer import LONG_POLL_SECONDS, NO_ID
from asya.transports.pubsub.control import published
from asya.transports.pubsub.leases import SUBSCRIBER, Leases, Token
from asya.transports.pubsub.refusals import Call, InvalidError

log = logging.getLogger(__name__)
ATTEMPTS: Final = "asya-attempts"
"""Attribute of a dead letter: how often it had been delivered."""
REASON: Final = "asya-reason"
"""Attribute of a dead letter: see `base.DeadLetter`."""
_THEIR_ATTEMPTS: Final = "CloudPubSubDeadLetterSourceDeliveryCount"
"""Attribute that Pub/Sub itself sets on what it dead-letters."""
HELD_SECONDS: Final = 60
PER_PULL: Final = 100
WAIT_SECONDS: Final = 5.0
"""How long nothing has to come before there is nothing: Google's server answers when it has something, not before."""


def said_of(reason: str, attempts: int) -> dict[str, str]:
    """Return the attributes of a message that we dead-letter."""
    return {ATTEMPTS: str(attempts)} | ({REASON: reason} if reason else {})


class PubsubDeadLetters:
    """See `base.DeadLetters`. `publish` sends to the actor and returns when that is confirmed.

    Pub/Sub keeps no order, and gives no promise that one look finds everything.
    """

    def __init__(
        self, connection: Connection, actor: str, subscription: str, publish: Callable[[bytes], Awaitable[None]]
    ) -> None:
        self._connection, self._actor, self._subscription = connection, actor, subscription
        self._publish = publish
        self._call = Call("receive from", subscription, SUBSCRIBER, actor)
        self._leases = Leases(connection, subscription, actor)
        # A dead letter is done with when the broker says so, not when that is on its way.
        self._leases.exactly_once = True
        self._held: dict[str, Token] = {}
        self._keeping: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to keep what is held; raises `NoDestinationError` where there is no such subscription."""
        try:
            await self._connection.call(
                "ModifyAckDeadline",
                self._call,
                subscription=self._subscription,
                ack_ids=[NO_ID],
                ack_deadline_seconds=0,
            )
        except InvalidError:
            pass  # the id is none; the subscription is there
        except NoDestinationError as error:
            name = self._subscription.rpartition("/")[2]
            raise NoDestinationError(actor=self._actor, queue=name) from error
        self._keeping = asyncio.get_running_loop().create_task(self._keep())

    async def close(self) -> None:
        """Give back what was not settled."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        for token in self._held.values():
            if not token.settled:
                self._leases.release(token, _tell)
        await self._leases.flush()

    async def browse(self) -> AsyncIterator[DeadLetter]:
        """See `base.DeadLetters.browse`; what comes together by its age."""
        while found := await self._pull():
            for letter in sorted(found, key=lambda letter: (letter.since, letter.tags["message_id"])):
                yield letter

    async def redrive(self, letter: DeadLetter, body: bytes | None = None) -> None:
        """See `base.DeadLetters.redrive`."""
        token: Token = letter.token
        if (lost := token.lost()) is not None:
            raise lost
        await self._publish(letter.body if body is None else body)
        await self._acknowledge(token)

    async def drop(self, letter: DeadLetter) -> None:
        """See `base.DeadLetters.drop`."""
        await self._acknowledge(letter.token)

    async def _acknowledge(self, token: Token) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._leases.ack(token, partial(_end, done))
        await done

    async def _pull(self) -> list[DeadLetter]:
        emulated = self._connection.emulated
        try:
            async with asyncio.timeout(None if emulated else WAIT_SECONDS):
                answer = await self._connection.call(
                    "Pull",
                    self._call,
                    within=LONG_POLL_SECONDS,
                    subscription=self._subscription,
                    max_messages=PER_PULL,
                    return_immediately=emulated,
                )
        except TimeoutError:
            return []
        found: list[DeadLetter] = []
        for received in answer.received_messages:
            token, name = self._leases.token(received.ack_id, HELD_SECONDS), received.message.message_id
            self._leases.begin(token, HELD_SECONDS)
            if name not in self._held:
                found.append(self._letter(received.message, token))
            # Of one that comes twice, its lease having been lost, the last id is good.
            self._held[name] = token
        return found

    def _letter(self, message: Any, token: Token) -> DeadLetter:  # noqa: ANN401  a message
        said = {attribute.key: attribute.value for attribute in message.attributes}
        reason, attempts = said.get(REASON), said.get(ATTEMPTS, "")
        if ATTEMPTS not in said and _THEIR_ATTEMPTS in said:
            reason, attempts = DELIVERY_LIMIT, said[_THEIR_ATTEMPTS]
        return DeadLetter(
            message.data,
            self._actor,
            token,
            reason,
            int(attempts) if attempts.isdecimal() else None,
            published(message),
            {"message_id": message.message_id, **said},
        )

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(HELD_SECONDS / 3)
            held = [token for token in self._held.values() if not token.settled]
            extending = (self._leases.extend(token, HELD_SECONDS) for token in held)
            for outcome in await asyncio.gather(*extending, return_exceptions=True):
                if isinstance(outcome, TransportError):
                    log.warning("a dead letter is not held any more: %s", outcome)


def _end(done: asyncio.Future[None], error: BaseException | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)


def _tell(error: BaseException | None) -> None:
    if error is not None and not isinstance(error, LeaseLostError):
        log.warning("a dead letter stays hidden until its lease ends: %s", error)
