"""Deliveries that are ours for a time: acknowledged, given back, or held longer, many ids in one call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from asya.errors import ConnectionLostError, LeaseLostError, RefusedError, TransportError
from asya.transports.pubsub.batches import Batches, Then
from asya.transports.pubsub.connection import Connection
from asya.transports.pubsub.refusals import Call, IdsError, InvalidError

log = logging.getLogger(__name__)

IDS_PER_CALL: Final = 2500
IDS_BYTES: Final = 400_000
"""A call may have 512 KiB."""
LONGEST: Final = 600
"""Seconds; a lease that is to last longer is extended again and again."""
RETRY_SECONDS: Final = 0.5
_MARGIN: Final = 0.02
"""Part of a lease taken off, because it began at the broker some time before it was seen here."""
SUBSCRIBER: Final = "roles/pubsub.subscriber"


@dataclass(slots=True, eq=False)
class Token:
    """Means to settle one delivery, once. `until`: the loop's time from which it may be somebody else's."""

    ack_id: str
    leases: Leases
    until: float
    settled: bool = False

    def lost(self) -> LeaseLostError | None:
        """Return what is to be said when settling would be void."""
        if self.settled:
            return LeaseLostError("the delivery was settled")
        if asyncio.get_running_loop().time() >= self.until:
            return LeaseLostError("the lease is over: Pub/Sub gives the message to somebody else")
        return None


@dataclass(frozen=True, slots=True)
class Change:
    """From now on a lease is to last so many seconds; 0 gives it back."""

    token: Token
    seconds: int


class Leases:
    """What is done with deliveries of one subscription.

    `exactly_once` is told by the broker when it delivers: then an acknowledgement is confirmed before it is done, and
    the broker says which came too late. Else it is done when it is on its way; what the broker does not get comes
    again.
    """

    def __init__(
        self, connection: Connection, subscription: str, actor: str, on_settled: Callable[[Token], None] | None = None
    ) -> None:
        self.exactly_once = False
        self._connection, self._subscription = connection, subscription
        self._call = Call("receive from", subscription, SUBSCRIBER, actor)
        self._on_settled = on_settled
        self._acks: Batches[Token] = Batches(self._acknowledge, items=IDS_PER_CALL, size=IDS_BYTES)
        # One queue for all, as an older change must not arrive after a newer one.
        self._changes: Batches[Change] = Batches(self._change, items=IDS_PER_CALL, size=IDS_BYTES)

    def token(self, ack_id: str, seconds: float) -> Token:
        """Return the means to settle what has just come, with a lease of so many seconds."""
        return Token(ack_id, self, _end(seconds))

    def ack(self, token: Token, then: Then) -> None:
        """Be done with a delivery."""
        if (lost := self._settle(token)) is not None:
            then(lost)
        elif self.exactly_once:
            self._acks.add(token, len(token.ack_id), then)
        else:
            self._acks.add(token, len(token.ack_id), _nobody_waits)
            then(None)

    def release(self, token: Token, then: Then) -> None:
        """Give a delivery back, for anyone, now."""
        if (lost := self._settle(token)) is not None:
            then(lost)
        else:
            self._modify(token, 0, then)

    def leave(self, token: Token, seconds: int) -> None:
        """Let nobody have it for `seconds`, also not us: the broker then gives it out again."""
        if self._settle(token) is None:
            self._modify(token, min(max(seconds, 1), LONGEST), _nobody_waits)

    def begin(self, token: Token, seconds: int) -> None:
        """Give a delivery that has just come its lease."""
        self._modify(token, seconds, _nobody_waits)

    async def extend(self, token: Token, seconds: float) -> None:
        """Hold a delivery for `seconds` from now, at most ten minutes; one that is being settled needs no holding.

        Raises:
            LeaseLostError: It is not ours any more.
        """
        if token.settled:
            return
        if (lost := token.lost()) is not None:
            self.give_up(token)
            raise lost
        whole = min(max(1, round(seconds)), LONGEST)
        until = _end(whole)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._modify(token, whole, partial(_end_future, done))
        await done
        token.until = until

    def give_up(self, token: Token) -> None:
        """Let go of a delivery that is somebody else's by now: its credit is free, and Pub/Sub need not be told."""
        self._settle(token)

    async def flush(self) -> None:
        """Wait until the broker has heard everything."""
        await asyncio.gather(self._acks.flush(), self._changes.flush())

    def _settle(self, token: Token) -> LeaseLostError | None:
        lost = token.lost()
        if not token.settled:
            token.settled = True
            if self._on_settled is not None:
                self._on_settled(token)
        return lost

    def _modify(self, token: Token, seconds: int, then: Then) -> None:
        self._changes.add(Change(token, seconds), len(token.ack_id), then)

    async def _acknowledge(self, tokens: Sequence[Token]) -> Sequence[BaseException | None]:
        return await self._persist(tokens, "Acknowledge")

    async def _change(self, changes: Sequence[Change]) -> Sequence[BaseException | None]:
        """Make one call for each number of seconds; of several changes to one lease the last counts."""
        last = {change.token: change.seconds for change in changes}
        calls: dict[int, list[Token]] = {}
        for token, seconds in last.items():
            calls.setdefault(seconds, []).append(token)
        outcomes: dict[Token, BaseException | None] = {}

        async def call(seconds: int, tokens: list[Token]) -> None:
            found = await self._persist(tokens, "ModifyAckDeadline", ack_deadline_seconds=seconds)
            outcomes.update(zip(tokens, found, strict=True))

        await asyncio.gather(*(call(seconds, tokens) for seconds, tokens in calls.items()))
        return [outcomes[change.token] for change in changes]

    async def _persist(self, tokens: Sequence[Token], method: str, **fields: int) -> Sequence[BaseException | None]:
        """Call, and again for those that may still succeed, until their leases are over."""
        outcomes: dict[str, BaseException | None] = {}
        left = list(tokens)
        while left:
            left, problem = await self._try(left, outcomes, method, fields)
            if left:
                now = asyncio.get_running_loop().time()
                for token in left:
                    if token.until <= now:
                        outcomes[token.ack_id] = LeaseLostError(
                            f"the lease was over before it could be settled: {problem}"
                        )
                left = [token for token in left if token.until > now]
                if left:
                    await asyncio.sleep(RETRY_SECONDS)
        return [outcomes.get(token.ack_id) for token in tokens]

    async def _try(
        self, tokens: list[Token], outcomes: dict[str, BaseException | None], method: str, fields: dict[str, int]
    ) -> tuple[list[Token], TransportError | None]:
        """Call once; note outcomes, return who is left for another try, and why."""
        ids = [token.ack_id for token in tokens]
        try:
            await self._connection.call(method, self._call, subscription=self._subscription, ack_ids=ids, **fields)
        except IdsError as error:
            for ack_id, temporary in error.failed.items():
                if not temporary:
                    outcomes[ack_id] = LeaseLostError("the lease is over: Pub/Sub gives the message to somebody else")
            return [token for token in tokens if error.failed.get(token.ack_id)], error
        except InvalidError as error:
            outcomes.update({ack_id: LeaseLostError(str(error)) for ack_id in ids})
        except (ConnectionLostError, RefusedError) as error:
            return tokens, error
        return [], None


def _end(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds * (1 - _MARGIN)


def _nobody_waits(error: BaseException | None) -> None:
    if error is not None:
        log.warning("a settlement did not reach Pub/Sub, the message comes again: %s", error)


def _end_future(done: asyncio.Future[None], error: BaseException | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
