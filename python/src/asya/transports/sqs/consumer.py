"""Receiving from one queue: long polls within the credit, one while nothing comes, more while much does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from asya.errors import LeaseLostError, TransportError
from asya.transports.base import Delivery
from asya.transports.parts import Backoff
from asya.transports.sqs import body
from asya.transports.sqs.batches import MOST
from asya.transports.sqs.body import Text
from asya.transports.sqs.claims import ClaimGoneError, Claims
from asya.transports.sqs.client import POLLS
from asya.transports.sqs.places import Place
from asya.transports.sqs.sending import Sender
from asya.transports.sqs.session import Session
from asya.transports.sqs.settling import Settler, Token, until

log = logging.getLogger(__name__)
LINGER_SECONDS: Final = 0.02
"""How long credit is saved up for a fuller answer while messages keep coming."""
_COUNT: Final = "ApproximateReceiveCount"
CLAIM_GONE: Final = "claim-gone"
"""Reason of a dead letter whose body is not in the bucket any more."""


class ActorConsumer:
    """Receives an actor's messages."""

    def __init__(
        self,
        session: Session,
        sender: Sender,
        settler: Settler,
        claims: Claims | None,
        place: Place,
        credit: int,
        on_delivery: Callable[[Delivery], None],
    ) -> None:
        self._session, self._sender, self._settler, self._claims = session, sender, settler, claims
        self._place, self._credit, self._on_delivery = place, credit, on_delivery
        self._lease = session.settings.lease_seconds
        self._out: set[Token] = set()
        self._reserved = 0
        """Credit that running polls may use up."""
        self._polls: set[asyncio.Task[None]] = set()
        self._width = 1
        self._flowing = False
        self._timer: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self._backoff = Backoff()
        self._trouble = ""

    @property
    def held(self) -> list[Token]:
        """What was handed out and is not settled."""
        return list(self._out)

    def start(self) -> None:
        """Begin to receive."""
        self._fill()

    def set_credit(self, credit: int) -> None:
        """See `Consumer.set_credit`."""
        if credit < 0:
            raise ValueError(f"credit is {credit}, expected 0 or more")
        self._credit = credit
        self._fill()

    async def close(self) -> None:
        """Receive nothing more. Polls under way are waited for: SQS would hand out to them all the same."""
        self._ended.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._polls:
            _, late = await asyncio.wait(self._polls, timeout=self._session.settings.wait_seconds + 5.0)
            for task in late:
                task.cancel()

    def _fill(self, *, at_once: bool = False) -> None:
        while not self._ended.is_set() and len(self._polls) < self._width:
            free = self._credit - len(self._out) - self._reserved
            if free <= 0:
                return
            if free < min(MOST, self._credit) and self._flowing and self._out and not at_once:
                if self._timer is None:
                    self._timer = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._lingered)
                return
            wanted = min(MOST, free)
            self._reserved += wanted
            task = asyncio.get_running_loop().create_task(self._poll(wanted))
            self._polls.add(task)
            task.add_done_callback(self._polled)

    def _lingered(self) -> None:
        self._timer = None
        self._fill(at_once=True)

    def _polled(self, task: asyncio.Task[None]) -> None:
        self._polls.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler({"message": "receiving failed", "exception": error})
        self._fill()

    async def _poll(self, wanted: int) -> None:
        try:
            messages = await self._receive(wanted)
        except TransportError as error:
            await self._pause(error)
            return
        finally:
            self._reserved -= wanted
        arrived = time.monotonic()
        self._flowing = bool(messages)
        if len(messages) == wanted:
            self._width = min(self._width * 2, POLLS)
        elif not messages:
            self._width = 1
        special: list[tuple[Token, Mapping[str, Any]]] = []
        for message in messages:
            token = Token(
                self._place, message["ReceiptHandle"], arrived, until(arrived, self._lease), self._out_no_more
            )
            if message.get("MessageAttributes"):
                special.append((token, message))
            else:
                self._hand_out(token, message["Body"].encode(), _attempts(message))
        if special:
            self._reserved += len(special)
            try:
                await asyncio.gather(*(self._unwrap(token, message) for token, message in special))
            finally:
                self._reserved -= len(special)

    async def _receive(self, wanted: int) -> Sequence[Mapping[str, Any]]:
        answer = await self._session.call(
            "receive_message",
            self._place,
            MaxNumberOfMessages=wanted,
            WaitTimeSeconds=round(self._session.settings.wait_seconds),
            VisibilityTimeout=math.ceil(self._lease),
            MessageAttributeNames=body.ASKED_FOR,
            MessageSystemAttributeNames=[_COUNT],
        )
        if self._trouble:
            log.warning("messages for %s are received again", self._place.actor)
            self._trouble = ""
        self._backoff.reset()
        found: Sequence[Mapping[str, Any]] = answer.get("Messages", ())
        return found

    async def _pause(self, error: TransportError) -> None:
        self._width = 1
        if str(error) != self._trouble and not self._ended.is_set():
            self._trouble = str(error)
            log.error("no messages are received for %s at present: %s", self._place.actor, error)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._backoff.next()):
                await self._ended.wait()

    async def _unwrap(self, token: Token, message: Mapping[str, Any]) -> None:
        """See to a message that is more than its text: too early, elsewhere, or encoded."""
        attributes, attempts = body.attributes_of(message), _attempts(message)
        text = Text(message["Body"], attributes)
        try:
            if attributes.get(body.DUE, "").isdecimal() and await self._is_early(token, text):
                return
            token.claim = attributes.get(body.CLAIM)
            found = await self._bytes(token, text)
        except ClaimGoneError as error:
            log.error("a message for %s is dead-lettered: %s", self._place.actor, error)  # noqa: TRY400  says it all
            await self._put_aside(token, text, attempts)
        except TransportError as error:
            # It stays hidden until its lease ends, and comes again.
            log.error("a message for %s cannot be had at present: %s", self._place.actor, error)  # noqa: TRY400  as above
        else:
            self._hand_out(token, found, attempts)

    async def _bytes(self, token: Token, text: Text) -> bytes:
        if token.claim is None:
            return body.decode(text.text, text.attributes)
        if self._claims is None:
            raise ClaimGoneError("its body is in S3, and ASYA_SQS_CLAIM_CHECK_BUCKET is not set")
        return await self._claims.get(token.claim)

    async def _is_early(self, token: Token, text: Text) -> bool:
        """Let a message that came before its time wait for the rest of it; tells whether that was done."""
        left = int(text.attributes[body.DUE]) / 1000 - time.time()
        plain = Text(text.text, {name: value for name, value in text.attributes.items() if name != body.DUE})
        if self._session.settings.fifo:
            if left > 0:
                await self._settler.hide(token, left)
                return True
            # Now it may stand in its group.
            token.claim = text.attributes.get(body.CLAIM)
            await self._sender.again(self._place, plain, 0.0, await self._bytes(token, plain))
        elif left > 0:
            await self._sender.again(self._place, plain, left, b"")
        else:
            return False
        await self._settler.delete(token)
        return True

    async def _put_aside(self, token: Token, text: Text, attempts: int) -> None:
        try:
            await self._sender.dead_letter(self._place.actor, text, CLAIM_GONE, attempts)
            await self._settler.delete(token)
        except TransportError as error:
            log.error("it is not dead-lettered either and comes again: %s", error)  # noqa: TRY400  says it all

    def _hand_out(self, token: Token, found: bytes, attempts: int) -> None:
        if self._ended.is_set() or len(self._out) >= self._credit:
            task = asyncio.get_running_loop().create_task(self._give_back(token))
            self._polls.add(task)
            task.add_done_callback(self._polls.discard)
            return
        self._out.add(token)
        try:
            self._on_delivery(Delivery(found, self._place.actor, token, attempts, self._lease))
        except Exception as error:  # noqa: BLE001  one message's fault must not stop the others
            asyncio.get_running_loop().call_exception_handler({"message": "on_delivery failed", "exception": error})

    async def _give_back(self, token: Token) -> None:
        try:
            await self._settler.release(token)
        except LeaseLostError:
            pass
        except TransportError as error:
            log.debug("not given back, SQS does it when the lease ends: %s", error)

    def _out_no_more(self, token: Token) -> None:
        if token in self._out:
            self._out.discard(token)
            self._fill()


def _attempts(message: Mapping[str, Any]) -> int:
    return int((message.get("Attributes") or {}).get(_COUNT, 1))
