"""Deliveries of one actor's queue, handed out within the credit, through lost connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from asya.errors import ConnectionLostError, LeaseLostError, TransportError
from asya.transports.base import Delivery
from asya.transports.parts import Backoff
from asya.transports.rabbitmq.engine import Subscription
from asya.transports.rabbitmq.session import Session

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Token:
    """Means to settle one delivery, once, on the subscription that it came by."""

    subscription: Subscription
    tag: int
    consumer: ActorConsumer
    settled: bool = False

    @property
    def void(self) -> bool:
        """Whether settling it would be."""
        return self.settled or not self.subscription.alive

    def lost(self) -> LeaseLostError:
        """Return what is to be said of a void one."""
        return LeaseLostError("the delivery was settled, or its connection is gone and the broker gives it out again")

    def check(self) -> None:
        """Raise `LeaseLostError` when settling would be void."""
        if self.void:
            raise self.lost()

    def settle(self, *, release: bool = False) -> None:
        """Acknowledge, or give back.

        Raises:
            LeaseLostError: It had been settled, or the connection is gone.
        """
        if self.settled or not self.subscription.alive:
            raise self.lost()
        self.settled = True
        try:
            if release:
                self.subscription.nack(self.tag)
            else:
                self.subscription.ack(self.tag)
        except TransportError as error:
            raise LeaseLostError(f"could not settle: {error}") from error
        finally:
            self.consumer.settled(self)


class ActorConsumer:
    """One subscription to one queue.

    The broker's prefetch is the credit. It holds per start of the consumer, so after stopping and starting again the
    broker may send more than is allowed together with what is still out; the rest waits here. It is not started again
    before nothing waits, so however often the credit changes, never more wait than the credit is.
    `detour` may take an arrival that has headers away before anybody sees it, and then settles it itself.
    """

    def __init__(
        self,
        session: Session,
        actor: str,
        queue: str,
        credit: int,
        on_delivery: Callable[[Delivery], None],
        detour: Callable[[Token, bytes, Mapping[str, Any]], bool],
    ) -> None:
        self.actor = actor
        self._session, self._queue = session, queue
        self._credit = credit
        self._on_delivery, self._detour = on_delivery, detour
        self._out: set[Token] = set()
        self._waiting: deque[Delivery] = deque()
        self._subscription: Subscription | None = None
        self._changed = asyncio.Event()
        self._closed = False
        self._started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Subscribe.

        Raises:
            NoDestinationError: The queue does not exist.
            DeniedError: The user may not read it.
        """
        self._task = asyncio.create_task(self._run())
        await self._started

    def set_credit(self, credit: int) -> None:
        """Allow `credit` unsettled deliveries at once; 0 stops receiving."""
        if not self._closed and credit != self._credit:
            self._credit = max(0, credit)
            self._changed.set()
            self._hand_out()

    async def close(self) -> None:
        """Stop receiving; give back what nobody has seen. What is out can still be settled. Idempotent."""
        self._closed, self._credit = True, 0
        self._changed.set()
        task = self._task
        if task is None:
            return
        if self._subscription is None:
            # Nothing at the broker to put in order, and a cancelled call would do no harm.
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)
        self._session.receiving(self._queue)
        await self._end_when_empty()

    async def release(self) -> None:
        """After `close`: give back all that is out, and end the channel, which sends whatever is on the way first."""
        subscription = self._subscription
        for token in list(self._out):
            with contextlib.suppress(LeaseLostError):
                token.settle(release=True)
        if subscription is not None:
            with contextlib.suppress(TransportError):
                await subscription.close()

    def settled(self, token: Token) -> None:
        """Note that a delivery is out no more."""
        self._out.discard(token)
        if self._waiting:
            self._hand_out()
        if self._closed and not self._out:
            self._ending = asyncio.create_task(self._end_when_empty())

    async def _run(self) -> None:
        backoff = Backoff()
        while not self._closed:
            try:
                engine = await self._session.engine()
                self._subscription = await engine.subscribe(self._queue, self.actor, self._arrived, self._changed.set)
                await self._keep_in_step(self._subscription, backoff)
            except Exception as error:
                if not self._started.done():
                    self._started.set_exception(error)
                    return
                if not isinstance(error, TransportError):
                    # Nobody else would ever receive again, so this goes on whatever happens.
                    log.exception("an error of ours while receiving from %s", self._queue)
                # What is lost with the connection is the session's to tell.
                elif not isinstance(error, ConnectionLostError):
                    problem = f"not receiving from {self._queue}, trying again: {error}"
                    self._session.receiving(self._queue, problem)
                    log.warning("%s", problem)
            if not self._closed:
                if self._subscription is not None and self._subscription.alive:
                    # In what state it is nobody knows, and what arrived by it would never be settled.
                    with contextlib.suppress(TransportError):
                        await self._subscription.close()
                if self._out:
                    self._session.interrupted(f"the channel that received from {self._queue} was closed")
                self._void()
                await backoff.wait()

    async def _keep_in_step(self, subscription: Subscription, backoff: Backoff) -> None:
        """Make the consumer at the broker follow the credit, until the channel ends or nobody wants it any more."""
        prefetch = 0
        while subscription.alive:
            self._changed.clear()
            wanted = self._credit
            if prefetch and not subscription.running:
                # The broker has cancelled it: the queue was deleted. A channel that knew the old queue gets nothing
                # from a new one of the same name (seen on 3.10), so this channel has to go.
                await subscription.close()
                return
            if prefetch and wanted != prefetch:
                await subscription.stop()
                prefetch = 0
            if wanted and not prefetch and not self._waiting:
                await subscription.start(wanted)
                prefetch = wanted
            if not self._started.done():
                self._started.set_result(None)
            backoff.reset()
            self._session.receiving(self._queue)
            if not self._credit:
                self._give_back_waiting()
            if self._closed:
                return
            await self._changed.wait()

    def _arrived(self, tag: int, body: bytes, redelivered: bool, headers: Mapping[str, Any]) -> None:  # noqa: FBT001
        assert self._subscription is not None  # noqa: S101  it is what calls this
        token, attempts = Token(self._subscription, tag, self), 1 + redelivered
        if headers:
            if self._detour(token, body, headers):
                return
            attempts = _attempts(redelivered, headers)
        delivery = Delivery(body, self.actor, token, attempts)
        if not self._waiting and len(self._out) < self._credit:
            self._out.add(token)
            self._on_delivery(delivery)
        else:
            self._waiting.append(delivery)
            if not self._credit:
                self._changed.set()

    def _hand_out(self) -> None:
        while self._waiting and len(self._out) < self._credit:
            delivery = self._waiting.popleft()
            self._out.add(delivery.token)
            self._on_delivery(delivery)
        if not self._waiting:
            self._changed.set()

    def _give_back_waiting(self) -> None:
        while self._waiting:
            token: Token = self._waiting.popleft().token
            with contextlib.suppress(LeaseLostError):
                token.settle(release=True)

    async def _end_when_empty(self) -> None:
        if not self._out and self._subscription is not None and self._subscription.alive:
            with contextlib.suppress(TransportError):
                await self._subscription.close()

    def _void(self) -> None:
        """The channel is gone: what was out comes again, and what waited too."""
        self._subscription = None
        self._out.clear()
        self._waiting.clear()


def _attempts(redelivered: bool, headers: Mapping[str, Any]) -> int:  # noqa: FBT001
    """Quorum queues count returns in a header; classic ones only say that there was one."""
    count = headers.get("x-delivery-count")
    return count + 1 if isinstance(count, int) else 1 + redelivered
