"""Edge out: carry a decision's effects out. Publish, wait for the confirmation, settle once.

Failures of publishing are dealt with here: what can be tried again is, with back-off and while nothing more is
received; what can never arrive goes where the core says instead.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from asya.errors import (
    ConnectionLostError,
    LeaseLostError,
    NoDestinationError,
    RefusedError,
    TooLargeError,
    TransportError,
)
from asya.transports import Delivery, Outgoing, Settle, Transport
from asya.wire import Envelope, encode
from asya_sidecar.decide import KEEP, Actor, Decision, Send, undeliverable

if TYPE_CHECKING:
    from asya_sidecar.gate import Gate

log = logging.getLogger("asya.carry")

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0

Blocker = Callable[[str, bool], None]
"""Told `(reason, True)` when receiving must stop for `reason`, `(reason, False)` when it may go on."""


class Carrier:
    """Carries out decisions over one transport."""

    def __init__(
        self, transport: Transport, actor: Actor, *, destination_wait: float, block: Blocker, gate: Gate | None = None
    ) -> None:
        self._transport = transport
        self._actor = actor
        self._destination_wait = destination_wait
        self._block = block
        self._gate = gate
        self._blocked: dict[str, int] = {}
        self._lines: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """One for each full queue, kept by those who stand in it."""

    def outgoing(self, send: Send) -> Outgoing:
        """Return the message of one send."""
        return Outgoing(send.actor, encode(send.envelope), send.delay)

    def publish(self, message: Outgoing) -> asyncio.Future[None]:
        """Publish one result while the call still runs; a failure is for `publish_again`."""
        return self._transport.publish((message,))

    async def publish_again(self, received: Envelope, send: Send, error: TransportError) -> Sequence[Outgoing] | None:
        """Publish what failed with `error`, by whatever way the core knows, until it is confirmed somewhere.

        Returns what was published at last; None when there is no way: even the sump's copy is too large. The input must
        then be dead-lettered.
        """
        patience = _Patience(self._destination_wait)
        try:
            return await self._publish_again(received, send, error, patience)
        finally:
            patience.leave()

    async def _publish_again(
        self, received: Envelope, send: Send, error: TransportError, patience: _Patience
    ) -> Sequence[Outgoing] | None:
        sends: Sequence[Send] = (send,)
        while True:
            sends, settle = await self._way_out(received, sends, error, patience)
            if settle is not Settle.ACK:
                return None
            messages = [self.outgoing(each) for each in sends]
            try:
                await self._through_gate(messages, patience, error, partial(self._transport.publish, messages))
            except TransportError as again:
                error = again
            else:
                self._relax(patience)
                return messages

    def complete(self, delivery: Delivery, messages: Sequence[Outgoing], decision: Decision) -> asyncio.Future[None]:
        """Publish the decision's `messages`, then settle the delivery; a failure is for `complete_again`."""
        return self._transport.complete(delivery, messages, _settlement(decision), decision.row)

    async def complete_again(
        self, delivery: Delivery, received: Envelope, decision: Decision, error: TransportError
    ) -> Sequence[Outgoing] | None:
        """Carry out what failed with `error`, however long it takes.

        Returns what was published when the delivery is settled; None when the delivery is no longer ours (its lease was
        lost: the broker delivers it again).
        """
        patience = _Patience(self._destination_wait)
        try:
            return await self._complete_again(delivery, received, decision, error, patience)
        finally:
            patience.leave()

    async def _complete_again(
        self,
        delivery: Delivery,
        received: Envelope,
        decision: Decision,
        error: TransportError,
        patience: _Patience,
    ) -> Sequence[Outgoing] | None:
        sends, settle = decision.sends, _settlement(decision)
        while True:
            if isinstance(error, LeaseLostError):
                log.warning("the delivery of %s is no longer ours; it comes again", received.id)
                self._relax(patience)
                return None
            sends, settle = await self._way_out(received, sends, error, patience, settle)
            messages = [self.outgoing(send) for send in sends]
            # What was not to be dead-lettered is for one reason only: even the sump's copy is too large.
            reason = decision.row if settle is decision.settle else "too-large"
            complete = partial(self._transport.complete, delivery, messages, settle, reason)
            try:
                await self._through_gate(messages, patience, error, complete)
            except TransportError as again:
                error = again
            else:
                self._relax(patience)
                return messages

    async def _through_gate(
        self,
        messages: Sequence[Outgoing],
        patience: _Patience,
        error: TransportError,
        publish: Callable[[], asyncio.Future[None]],
    ) -> None:
        """Publish as soon as the destinations' limits allow; a missing one is waited for no longer because of them."""
        sending = None if self._gate is None else self._gate.sending(None, messages)
        if sending is None:
            await publish()
            return
        if not sending.ready:
            try:
                async with asyncio.timeout(patience.left if isinstance(error, NoDestinationError) else None):
                    await sending.wait()
            except TimeoutError:
                raise error from None
        try:
            await publish()
        except BaseException as again:
            sending.ended(again)
            raise
        sending.ended(None)

    async def _way_out(
        self,
        received: Envelope,
        sends: Sequence[Send],
        error: TransportError,
        patience: _Patience,
        settle: Settle = Settle.ACK,
    ) -> tuple[tuple[Send, ...], Settle]:
        """Return what to try next after `error`, having waited where waiting is the way."""
        if isinstance(error, (TooLargeError, NoDestinationError)):
            patience.leave()
            if settle is Settle.DEAD_LETTER:
                # The last place there is: nothing can be sent instead, and what is in no place is not acknowledged.
                log.error("not dead-lettered, it is tried again: %s", error, extra={"envelope": received.id})
                self._wait_for(patience, f"the dead letters of {error.actor} do not take a message")
                await patience.pause()
                return tuple(sends), settle
        if isinstance(error, NoDestinationError) and not patience.over and error.actor != self._actor.sump:
            await patience.pause()
            return tuple(sends), settle
        if isinstance(error, (TooLargeError, NoDestinationError)):
            return await self._instead(received, sends, error, patience)
        if not isinstance(error, (RefusedError, ConnectionLostError)):
            log.error("publishing failed and is tried again: %s", error)
        full = error.actor if isinstance(error, RefusedError) else None
        if full is not None and full not in (self._actor.sink, self._actor.sump):
            # One queue is full: what goes elsewhere need not wait.
            self._relax(patience)
            if await patience.stand(self._lines.setdefault(full, asyncio.Lock())):
                return tuple(sends), settle
        else:
            patience.leave()
            self._wait_for(patience, "the broker does not take messages")
        await patience.pause()
        return tuple(sends), settle

    async def _instead(
        self,
        received: Envelope,
        sends: Sequence[Send],
        error: TooLargeError | NoDestinationError,
        patience: _Patience,
    ) -> tuple[tuple[Send, ...], Settle]:
        replaced: list[Send] = []
        for send in sends:
            if send.actor != error.actor:
                replaced.append(send)
                continue
            decision = undeliverable(received, send, error, self._actor, time.time())
            log.error("%s: %s", decision.row, error, extra={"envelope": send.envelope.id})
            if decision.settle == Settle.DEAD_LETTER:
                return (), Settle.DEAD_LETTER
            if decision.settle == KEEP:
                self._wait_for(patience, f"neither the destination nor {self._actor.sump} can be reached")
                await patience.pause()
                replaced.append(send)
            replaced.extend(decision.sends)
        return tuple(replaced), Settle.ACK

    def _wait_for(self, patience: _Patience, reason: str) -> None:
        """Stop receiving for `reason` for as long as anyone waits for it."""
        if patience.reason == reason:
            return
        self._relax(patience)
        patience.reason = reason
        count = self._blocked.get(reason, 0)
        self._blocked[reason] = count + 1
        if not count:
            self._block(reason, True)

    def _relax(self, patience: _Patience) -> None:
        reason, patience.reason = patience.reason, ""
        if not reason:
            return
        self._blocked[reason] -= 1
        if not self._blocked[reason]:
            del self._blocked[reason]
            self._block(reason, False)


class _Patience:
    """Back-off of one message: how long to pause, and whether the wait for a destination is over."""

    def __init__(self, limit: float) -> None:
        self._until = time.monotonic() + limit
        self._pause = FIRST_PAUSE
        self._line: asyncio.Lock | None = None
        self.reason = ""

    @property
    def over(self) -> bool:
        return self.left <= 0

    @property
    def left(self) -> float:
        return max(self._until - time.monotonic(), 0.0)

    async def stand(self, line: asyncio.Lock) -> bool:
        """Wait in line for a queue that is full, so that it is not all who try again; False when we are first already.

        Whoever comes to its head may try at once: the one before has just succeeded, or there was none.
        """
        if self._line is line:
            return False
        self.leave()
        await line.acquire()
        self._line = line
        return True

    def leave(self) -> None:
        """Let the next one try."""
        line, self._line = self._line, None
        if line is not None:
            line.release()

    async def pause(self) -> None:
        await asyncio.sleep(self._pause * random.uniform(0.8, 1.2))  # noqa: S311  spreads retries, no secret
        self._pause = min(self._pause * 2, LONGEST_PAUSE)


def _settlement(decision: Decision) -> Settle:
    """Return the settlement of a decision that settles; `keep` never reaches the transport."""
    if decision.settle == KEEP:
        raise AssertionError(f"row {decision.row} keeps its delivery")
    return decision.settle
