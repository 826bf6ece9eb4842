"""Sending: sizes before anything else, large bodies to S3, delays, then batches."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from asya.errors import ConnectionLostError, TooLargeError, TransportError
from asya.transports.base import Outgoing
from asya.transports.sqs import order, refusals
from asya.transports.sqs.batches import Batches, Outcome
from asya.transports.sqs.body import ATTEMPTS, DUE, REASON, Text, encode
from asya.transports.sqs.claims import Claims, pointer
from asya.transports.sqs.order import Order
from asya.transports.sqs.places import Place
from asya.transports.sqs.session import Session

LONGEST_DELAY: Final = 900
"""Seconds that SQS delays a message in a standard queue; longer delays are several of these."""
_DUE_BYTES: Final = len(DUE) + len("String") + 13
_OPERATION, _ACTION = "send_message_batch", "sqs:SendMessage"


class _Entry(NamedTuple):
    entry: dict[str, Any]
    size: int


class Sender:
    """Sends to any queue; each queue has its own batches, for as long as there is something to send."""

    def __init__(self, session: Session, claims: Claims | None) -> None:
        self._session, self._claims = session, claims
        self._inline = session.settings.message_bytes
        self._fifo = session.settings.fifo
        self._batches: dict[str, Batches[_Entry]] = {}

    @property
    def limit(self) -> int:
        """Largest message in bytes."""
        return self._inline if self._claims is None else self._claims.limit

    def keep_to(self, size: int) -> None:
        """From now on take messages of more than `size` bytes for too large for SQS."""
        self._inline = min(self._inline, size)

    def texts(self, messages: Sequence[Outgoing]) -> list[Text]:
        """Return what is to be sent.

        Raises:
            TooLargeError: One of them cannot be sent; before anything is.
        """
        found = [encode(message.body) for message in messages]
        for message, text in zip(messages, found, strict=True):
            size = text.size + (_DUE_BYTES if message.delay > 0 else 0)
            if size > self._inline:
                size = size if self._claims is None else len(message.body)
                if self._claims is None or size > self.limit:
                    raise TooLargeError(actor=message.actor, size=size, limit=self.limit)
        return found

    async def send(self, messages: Sequence[Outgoing], texts: Sequence[Text]) -> None:
        """Send, and wait until SQS has all of them; raises the first failure in the order of the messages."""
        if len(messages) == 1:
            await self._send(messages[0], texts[0])
            return
        outcomes = await asyncio.gather(*map(self._send, messages, texts), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def dead_letter(self, actor: str, text: Text, reason: str, attempts: int) -> None:
        """Send to an actor's dead letters."""
        place = await self._session.dead_letters(actor)
        said = {REASON: reason, ATTEMPTS: str(attempts)} if reason else {ATTEMPTS: str(attempts)}  # none may be empty
        marked = text.having(said)
        # Of a message that is as large as the queue takes, nothing can be said besides; it counts more than that.
        await self._submit(place, marked if marked.size <= self._inline else text, 0.0, order.alone())

    async def redrive(self, place: Place, text: Text, body: bytes) -> None:
        """Send a dead letter to the actor's queue once more, in its group.

        Its deduplication id is a new one: within 5 minutes SQS would take it for a copy of what it has had before, and
        drop it.
        """
        ids = order.of(body)._replace(dedup=order.alone().dedup) if self._fifo else None
        await self._submit(place, text, 0.0, ids)

    async def deposit(self, actor: str, body: bytes) -> Text:
        """Return the text for a body: itself, or, where it is too large for SQS, what stands for it in S3.

        Raises:
            TooLargeError: It cannot be sent.
        """
        (text,) = self.texts([Outgoing(actor, body)])
        if text.size <= self._inline or self._claims is None:
            return text
        return pointer(await self._claims.put(actor, body))

    async def again(self, place: Place, text: Text, left: float, body: bytes) -> None:
        """Send what was received before its time once more, to wait for the `left` seconds."""
        await self._submit(place, text, left, order.of(body) if self._fifo else None)

    async def _send(self, message: Outgoing, text: Text) -> None:
        place = await self._session.queue(message.actor)
        ids = order.of(message.body) if self._fifo else None
        if self._claims is None or text.size + (_DUE_BYTES if message.delay > 0 else 0) <= self._inline:
            await self._submit(place, text, message.delay, ids)
            return
        key = await self._claims.put(message.actor, message.body)
        try:
            await self._submit(place, pointer(key), message.delay, ids)
        except ConnectionLostError:
            raise  # it may have arrived
        except TransportError:
            self._claims.drop(key)
            raise

    async def _submit(self, place: Place, text: Text, delay: float, ids: Order | None) -> None:
        entry: dict[str, Any] = {}
        if self._fifo:
            # SQS delays no single message in a FIFO queue. It is hidden by whoever receives it before its time, in a
            # group of its own so that it holds up nothing, and sent to its group when the time has come.
            text, ids = (_due(text, delay), order.alone()) if delay > 0 else (text, ids)
            entry = {} if ids is None else ids.entry()
        elif delay > 0:
            text = _due(text, delay) if delay > LONGEST_DELAY else text
            entry = {"DelaySeconds": min(math.ceil(delay), LONGEST_DELAY)}
        size = text.size
        await self._for(place).submit(_Entry({**text.entry(), **entry}, size), size)

    def _for(self, place: Place) -> Batches[_Entry]:
        batches = self._batches.get(place.url)
        if batches is None:
            for url in [url for url, each in self._batches.items() if each.idle]:
                del self._batches[url]
            # Calls that overtake each other would break a FIFO queue's order.
            batches = self._batches[place.url] = Batches(
                partial(self._call, place), most_bytes=self._inline, parallel=1 if self._fifo else 4
            )
        return batches

    async def _call(self, place: Place, entries: Sequence[_Entry]) -> Sequence[Outcome]:
        numbered = [{"Id": str(index), **each.entry} for index, each in enumerate(entries)]
        try:
            answer = await self._session.call(_OPERATION, place, Entries=numbered)
        except TooLargeError as error:
            if len(entries) == 1:
                return [TooLargeError(actor=place.actor, size=entries[0].size, limit=error.limit)]
            # One of them is too large for the queue, which refuses them all.
            return [(await self._call(place, [each]))[0] for each in entries]
        failed = {int(each["Id"]): each for each in answer.get("Failed", ())}
        return [
            refusals.entry(failed[index], _ACTION, place, each.size) if index in failed else None
            for index, each in enumerate(entries)
        ]


def _due(text: Text, delay: float) -> Text:
    return text.having({DUE: str(round((time.time() + delay) * 1000))})
