"""The consumers of a transport on the event loop: credit, wake-ups, the one timer."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path

from asya.errors import TransportError
from asya.transports.base import Consumer, Delivery
from asya.transports.sqlite.subscriptions import Handed, Held, Subscription, Subscriptions
from asya.transports.sqlite.wake import Bell, Ringer
from asya.transports.sqlite.writer import Writer

log = logging.getLogger(__name__)


class Receiving:
    """Hands out what transactions claimed, and has queues looked at when there is a reason to.

    Reasons are a wake-up from another process, a delay or lease that ends (one timer for all), credit that was raised,
    and, because a wake-up can be lost, the recheck time of `Subscriptions`.
    """

    def __init__(
        self, path: Path, subscriptions: Subscriptions, ringer: Ringer, *, lease_seconds: float, retry_seconds: float
    ) -> None:
        self.writer = Writer(path, subscriptions, self._deliver)
        self._path = path
        self._subscriptions = subscriptions
        self._ringer = ringer
        self._lease_seconds = lease_seconds
        self._retry_seconds = retry_seconds
        self._loop = asyncio.get_running_loop()
        self._bells: dict[Subscription, Bell] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    def start(self, subscription: Subscription) -> Consumer:
        """Begin to receive."""
        bell = Bell(self._path, subscription.queue)
        self._bells[subscription] = bell
        self._ringer.own.add(bell.name)
        self._loop.add_reader(bell.fileno(), self._rung, subscription, bell)
        self._subscriptions.active.append(subscription)
        self.writer.look()
        return Consumer(
            set_credit=partial(self._set_credit, subscription),
            close=lambda: asyncio.ensure_future(self._close(subscription)),
        )

    def stop(self) -> None:
        """End all subscriptions; what is unsettled is the caller's to release."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for subscription in tuple(self._bells):
            self._end(subscription)

    def _end(self, subscription: Subscription) -> None:
        subscription.closed = True
        bell = self._bells.pop(subscription, None)
        if bell is None:
            return
        self._subscriptions.active.remove(subscription)
        self._ringer.own.discard(bell.name)
        self._loop.remove_reader(bell.fileno())
        bell.close()

    async def _close(self, subscription: Subscription) -> None:
        self._end(subscription)
        # After the first wait, all that was claimed before has come by and is on its way back; after the second it is.
        for _ in range(2):
            if not self._stopped:
                await self.writer.submit(_nothing)

    def _set_credit(self, subscription: Subscription, credit: int) -> None:
        if credit < 0:
            raise ValueError(f"credit is {credit}, expected 0 or more")
        subscription.credit = credit
        self._ask(subscription)

    def _rung(self, subscription: Subscription, bell: Bell) -> None:
        bell.clear()
        self._ask(subscription)

    def _ask(self, subscription: Subscription) -> None:
        subscription.look = True
        if not subscription.closed and subscription.credit > subscription.handed:
            self.writer.look()

    def _deliver(self, handed: Handed | None, error: TransportError | None) -> None:
        if error is not None:
            log.warning("the queue's transaction was undone: %s", error)
            self._look_in(self._retry_seconds)
        if handed is None or self._stopped:
            return
        for subscription in handed.freed:
            subscription.handed -= 1
        for subscription, claims in handed.claims:
            for lease, body, attempts in claims:
                held = Held(subscription, lease)
                if subscription.closed or subscription.handed >= subscription.credit:
                    self.writer.submit(self._subscriptions.give_back, held)
                    continue
                subscription.handed += 1
                self._hand_over(subscription, Delivery(body, subscription.actor, held, attempts, self._lease_seconds))
        if handed.next_look is not None:
            # A little late rather than a little early: the loop's clock and the database's are not the same.
            self._look_in(handed.next_look + 0.001)

    def _hand_over(self, subscription: Subscription, delivery: Delivery) -> None:
        try:
            subscription.on_delivery(delivery)
        except Exception as error:  # noqa: BLE001  one consumer's fault must not stop the others' messages
            self._loop.call_exception_handler({"message": "on_delivery failed", "exception": error})

    def _look_in(self, seconds: float) -> None:
        if self._stopped:
            return
        when = self._loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._time_to_look)

    def _time_to_look(self) -> None:
        self._timer = None
        for subscription in self._bells:
            subscription.look = True
        if any(subscription.credit > subscription.handed for subscription in self._bells):
            self.writer.look()


def _nothing(_store: object) -> None:
    """Wait for the operations before; they are durable when this is done."""
