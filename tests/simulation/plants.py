"""Bugs on purpose: each is a transport that does one thing wrong. The simulation must catch every one of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from tests.simulation.pods import WatchedTransport

from asya.transports import Consumer, Delivery, Outgoing, Settle
from asya.transports.memory.broker import Lease


class SettleBeforeConfirm(WatchedTransport):
    """Settles the delivery first, and publishes what replaces it afterwards."""

    def _complete_on(
        self, delivery: Delivery, messages: Sequence[Outgoing], settle: Settle, reason: str
    ) -> asyncio.Future[None]:
        lease = delivery.token
        assert isinstance(lease, Lease)
        if not messages:
            return super()._complete_on(delivery, messages, settle, reason)
        self.wire.tell(partial(self.settle_if_ours, lease, settle))
        return super()._publish_on(messages)


class SettleWithoutWaiting(WatchedTransport):
    """Publishes and settles in the right order, without waiting for the confirmation."""

    def _complete_on(
        self, delivery: Delivery, messages: Sequence[Outgoing], settle: Settle, reason: str
    ) -> asyncio.Future[None]:
        lease = delivery.token
        assert isinstance(lease, Lease)
        if not messages:
            return super()._complete_on(delivery, messages, settle, reason)
        published = super()._publish_on(messages)
        self.wire.tell(partial(self.settle_if_ours, lease, settle))
        return published


class LostChild(WatchedTransport):
    """Says of each third result of a running call that it is confirmed, and never sends it."""

    _count = 0

    def _publish_on(self, messages: Sequence[Outgoing]) -> asyncio.Future[None]:
        self._count += 1
        if self._count % 3:
            return super()._publish_on(messages)
        return self.wire.request(lambda: None)


class AttemptNotCounted(WatchedTransport):
    """Sends a message back for its next attempt with the number of the last one."""

    def complete(
        self, delivery: Delivery, messages: Sequence[Outgoing] = (), settle: Settle = Settle.ACK, reason: str = ""
    ) -> asyncio.Future[None]:
        return super().complete(delivery, [_uncounted(message) for message in messages], settle, reason)


class DoubleSettle(WatchedTransport):
    """Settles once more what it has settled."""

    def complete(
        self, delivery: Delivery, messages: Sequence[Outgoing] = (), settle: Settle = Settle.ACK, reason: str = ""
    ) -> asyncio.Future[None]:
        future = super().complete(delivery, messages, settle, reason)
        if not messages:
            return future
        again = asyncio.get_running_loop().create_future()

        def settled(done: asyncio.Future[None]) -> None:
            if done.cancelled() or done.exception() is not None:
                again.set_exception(done.exception() or ConnectionError())
                return
            second = super(DoubleSettle, self).complete(delivery)
            second.add_done_callback(lambda _: None if again.done() else again.set_result(None))

        future.add_done_callback(settled)
        return again


class ForgetsWhatComesAgain(WatchedTransport):
    """Takes a delivery of a message that it has had before for a copy of what is done, and acknowledges it unseen.

    So it loses what a lease that ran out, or an end of a connection, has made void under its holder.
    """

    async def consume(self, actor: str, credit: int, on_delivery: Callable[[Delivery], None]) -> Consumer:
        had: set[bytes] = set()

        def once(delivery: Delivery) -> None:
            if delivery.body in had:
                self.complete(delivery).add_done_callback(_heard)
                return
            had.add(delivery.body)
            on_delivery(delivery)

        return await super().consume(actor, credit, once)


def _heard(done: asyncio.Future[None]) -> None:
    """What becomes of it is nobody's concern, that is the bug."""
    if not done.cancelled():
        done.exception()


def _uncounted(message: Outgoing) -> Outgoing:
    envelope = json.loads(message.body)
    status = envelope.get("status") or {}
    if status.get("phase") != "retrying":
        return message
    status["attempt"] = max(status["attempt"] - 1, 1)
    return replace(message, body=json.dumps(envelope).encode())


PLANTS: dict[str, type[WatchedTransport]] = {
    "settle-before-confirm": SettleBeforeConfirm,
    "settle-without-waiting": SettleWithoutWaiting,
    "lost-child": LostChild,
    "attempt-not-counted": AttemptNotCounted,
    "double-settle": DoubleSettle,
    "forgets-what-comes-again": ForgetsWhatComesAgain,
}
