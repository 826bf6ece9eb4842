"""Dead letters on SQS: received, hidden from others for as long as they are held, and shown again at the end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, NamedTuple

from asya.errors import TransportError
from asya.transports.base import DELIVERY_LIMIT, DeadLetter
from asya.transports.sqs import body
from asya.transports.sqs.batches import MOST
from asya.transports.sqs.body import Text
from asya.transports.sqs.claims import ClaimGoneError, Claims
from asya.transports.sqs.places import Place
from asya.transports.sqs.sending import Sender
from asya.transports.sqs.session import Session
from asya.transports.sqs.settling import Settler, State, Token, until

log = logging.getLogger(__name__)
HELD_SECONDS: Final = 60
POLL_SECONDS: Final = 1
"""Longer than 0, so that SQS asks all of its servers and not some."""
_SENT, _COUNT, _SOURCE = "SentTimestamp", "ApproximateReceiveCount", "DeadLetterQueueSourceArn"


class Held(NamedTuple):
    """A dead letter's token: the means to settle it, and the message as it came."""

    token: Token
    text: Text


class SqsDeadLetters:
    """See `base.DeadLetters`.

    Of a FIFO queue, SQS hands out at most ten messages of a group while none of them is settled, so that browsing does
    not see those behind them.

    Args:
        own: The actor's queue.
        dead: Its dead-letter queue.
        limit: How often SQS hands out a message of the actor's queue before it dead-letters it, where that is known.
    """

    def __init__(
        self,
        session: Session,
        settler: Settler,
        sender: Sender,
        claims: Claims | None,
        own: Place,
        dead: Place,
        limit: int | None,
    ) -> None:
        self._session, self._settler, self._sender, self._claims = session, settler, sender, claims
        self._own, self._dead, self._limit = own, dead, limit
        self._tokens: dict[str, Token] = {}
        self._keeping: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to keep what is held; raises `NoDestinationError` where there is no dead-letter queue."""
        await self._session.call("get_queue_attributes", self._dead, AttributeNames=["QueueArn"])
        self._keeping = asyncio.get_running_loop().create_task(self._keep())

    async def close(self) -> None:
        """Show again what was not settled."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        held = [token for token in self._tokens.values() if token.state is State.HELD]
        outcomes = await asyncio.gather(*map(self._settler.release, held), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, TransportError):
                log.warning("a dead letter stays hidden for up to %d s: %s", HELD_SECONDS, outcome)

    async def browse(self) -> AsyncIterator[DeadLetter]:
        """See `base.DeadLetters.browse`; ten at a time, each ten by their age."""
        while found := await self._receive():
            letters = await asyncio.gather(*map(self._letter, found))
            for letter in sorted(letters, key=lambda letter: letter.since or 0.0):
                yield letter

    async def redrive(self, letter: DeadLetter, body: bytes | None = None) -> None:
        """See `base.DeadLetters.redrive`. A body in S3 that is not replaced stays where it is."""
        token, text = _held(letter)
        token.check()
        claim = token.claim
        if body is None and claim is not None:
            await self._sender.redrive(self._own, _plain(text), letter.body)
            await self._settler.delete(token)
            return
        new = letter.body if body is None else body
        await self._sender.redrive(self._own, await self._sender.deposit(self._own.actor, new), new)
        await self._settler.delete(token)
        self._forget(claim)

    async def drop(self, letter: DeadLetter) -> None:
        """See `base.DeadLetters.drop`; a body in S3 goes too."""
        token, _ = _held(letter)
        await self._settler.delete(token)
        self._forget(token.claim)

    def _forget(self, claim: str | None) -> None:
        if claim is not None and self._claims is not None:
            self._claims.drop(claim)

    async def _receive(self) -> list[tuple[Token, Mapping[str, Any]]]:
        answer = await self._session.call(
            "receive_message",
            self._dead,
            MaxNumberOfMessages=MOST,
            WaitTimeSeconds=POLL_SECONDS,
            VisibilityTimeout=HELD_SECONDS,
            MessageAttributeNames=body.OF_THE_DEAD,
            MessageSystemAttributeNames=[_SENT, _COUNT, _SOURCE],
        )
        arrived, found = time.monotonic(), []
        for message in answer.get("Messages", ()):
            name = message["MessageId"]
            token = Token(self._dead, message["ReceiptHandle"], arrived, until(arrived, HELD_SECONDS), _ignore)
            if name not in self._tokens:
                found.append((token, message))
            # Of one that comes twice, its lease having been lost, the last receipt is good.
            self._tokens[name] = token
        return found

    async def _letter(self, received: tuple[Token, Mapping[str, Any]]) -> DeadLetter:
        token, message = received
        attributes, said = body.attributes_of(message), message.get("Attributes") or {}
        token.claim = attributes.get(body.CLAIM)
        reason = attributes.get(body.REASON)
        attempts = int(attributes[body.ATTEMPTS]) if attributes.get(body.ATTEMPTS, "").isdecimal() else None
        if reason is None and _SOURCE in said:
            reason, attempts = DELIVERY_LIMIT, self._limit
        text = Text(message["Body"], attributes)
        return DeadLetter(
            await self._bytes(token, text),
            self._own.actor,
            Held(token, text),
            reason,
            attempts,
            int(said[_SENT]) / 1000 if _SENT in said else None,
            {"MessageId": message["MessageId"], **said, **attributes},
        )

    async def _bytes(self, token: Token, text: Text) -> bytes:
        """Return what the message carries; of one whose body is nowhere, what it says."""
        try:
            if token.claim is not None and self._claims is not None:
                return await self._claims.get(token.claim)
            return body.decode(text.text, text.attributes)
        except (ClaimGoneError, TransportError) as error:
            log.warning("the body of a dead letter of %s cannot be had: %s", self._own.actor, error)
            return text.text.encode()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(HELD_SECONDS / 3)
            held = [token for token in self._tokens.values() if token.state is State.HELD]
            extending = (self._settler.extend(token, HELD_SECONDS) for token in held)
            for outcome in await asyncio.gather(*extending, return_exceptions=True):
                if isinstance(outcome, TransportError):
                    log.warning("a dead letter is not held any more: %s", outcome)


def _plain(text: Text) -> Text:
    left = {name: value for name, value in text.attributes.items() if name not in (body.REASON, body.ATTEMPTS)}
    return Text(text.text, left)


def _held(letter: DeadLetter) -> Held:
    held: Held = letter.token
    return held


def _ignore(_token: Token) -> None:
    """Nobody counts what is out."""
