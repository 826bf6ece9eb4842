"""What is held, and how that ends: deleted, given back, or prolonged; each in batches."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any, Final

from asya.errors import ConnectionLostError, LeaseLostError, NoDestinationError, RefusedError
from asya.transports.parts import Backoff
from asya.transports.sqs import refusals
from asya.transports.sqs.batches import Batches, Outcome
from asya.transports.sqs.places import Place
from asya.transports.sqs.session import Session

LONGEST_HOLD: Final = 43_200.0
"""Seconds from its receipt for which SQS lets a message be held, however often that is prolonged."""
_DELETE, _VISIBILITY = "delete_message_batch", "change_message_visibility_batch"
_ACTIONS: Final = {_DELETE: "sqs:DeleteMessage", _VISIBILITY: "sqs:ChangeMessageVisibility"}


class State(Enum):
    """Where a delivery stands."""

    HELD = auto()
    SETTLING = auto()
    DONE = auto()


@dataclass(slots=True, eq=False)
class Token:
    """One delivery: its receipt, when it was received, and until when it is ours by this process's clock.

    SQS deletes by a receipt that is over as readily as by one that is not, though the message may be somebody else's by
    then; so what is over by our clock, which runs ahead of SQS's, is never settled. `freed` hears when it is out no
    more. `claim` is the key of its body in S3.
    """

    place: Place
    handle: str
    received: float
    until: float
    freed: Callable[[Token], None]
    claim: str | None = None
    state: State = State.HELD

    def check(self) -> None:
        """Raise `LeaseLostError` unless it can be settled."""
        if self.state is not State.HELD:
            raise LeaseLostError("the delivery was settled already")
        self.check_lease()

    def check_lease(self) -> None:
        """Raise `LeaseLostError` when it is not ours any more."""
        if self.state is State.DONE:
            raise LeaseLostError("the delivery was settled already")
        if time.monotonic() >= self.until:
            self.end()
            raise LeaseLostError("the lease is over; the message comes again")

    def end(self) -> None:
        """Note that it is out no more."""
        self.state = State.DONE
        self.freed(self)


def until(start: float, seconds: float) -> float:
    """Return when a lease of `seconds` that began about `start` is over for us: a little before it is for SQS."""
    return start + seconds - min(1.0, seconds / 10)


class Settler:
    """Ends and prolongs deliveries."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._batches: dict[tuple[str, str], Batches[dict[str, Any]]] = {}

    async def delete(self, token: Token) -> None:
        """Acknowledge; what fails for now is tried again for as long as it is ours."""
        await self._settle(token, _DELETE, {"ReceiptHandle": token.handle})

    async def release(self, token: Token) -> None:
        """Give back at once."""
        await self._settle(token, _VISIBILITY, {"ReceiptHandle": token.handle, "VisibilityTimeout": 0})

    async def hide(self, token: Token, seconds: float) -> None:
        """Let go of it for `seconds`, at most as long as SQS can; then anybody may receive it."""
        await self._settle(
            token, _VISIBILITY, {"ReceiptHandle": token.handle, "VisibilityTimeout": _hold(token, seconds)}
        )

    async def extend(self, token: Token, seconds: float) -> None:
        """Hold it for `seconds` from now, at most as long as SQS can."""
        token.check_lease()
        whole, start = _hold(token, seconds), time.monotonic()
        if whole <= 0:
            token.end()
            raise LeaseLostError("SQS lets nothing be held for more than 12 hours; the message comes again")
        try:
            await self._submit(token, _VISIBILITY, {"ReceiptHandle": token.handle, "VisibilityTimeout": whole})
        except (LeaseLostError, NoDestinationError) as error:
            if token.state is State.HELD:
                token.end()
            raise LeaseLostError(str(error)) from error
        token.until = until(start, min(seconds, whole))

    async def _settle(self, token: Token, operation: str, entry: dict[str, Any]) -> None:
        token.check()
        token.state = State.SETTLING
        try:
            await self._insist(token, lambda: self._submit(token, operation, entry))
        finally:
            token.end()

    async def _insist(self, token: Token, ask: Callable[[], Awaitable[None]]) -> None:
        backoff = Backoff()
        while True:
            try:
                await ask()
            except NoDestinationError as error:
                raise LeaseLostError(str(error)) from error
            except (RefusedError, ConnectionLostError):
                await backoff.wait()
                token.check_lease()
            else:
                return

    def _submit(self, token: Token, operation: str, entry: dict[str, Any]) -> asyncio.Future[None]:
        key = (operation, token.place.url)
        batches = self._batches.get(key)
        if batches is None:
            batches = self._batches[key] = Batches(partial(self._call, operation, token.place))
        return batches.submit(entry)

    async def _call(self, operation: str, place: Place, entries: Sequence[dict[str, Any]]) -> Sequence[Outcome]:
        numbered = [{"Id": str(index), **each} for index, each in enumerate(entries)]
        answer = await self._session.call(operation, place, Entries=numbered)
        failed = {int(each["Id"]): each for each in answer.get("Failed", ())}
        return [
            refusals.entry(failed[index], _ACTIONS[operation], place) if index in failed else None
            for index in range(len(entries))
        ]


def _hold(token: Token, seconds: float) -> int:
    left = LONGEST_HOLD - (time.monotonic() - token.received) - 1
    return max(0, min(math.ceil(seconds), math.floor(left)))
