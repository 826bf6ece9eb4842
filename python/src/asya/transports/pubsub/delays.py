"""Messages that wait for their time (docs/decisions/0010).

Each actor has a topic and a subscription for them. Whoever consumes the actor also pulls from there: a message whose
time has come is published to the actor and acknowledged; with any other, the broker is told to let nobody have it until
then, and it is forgotten here. So delays cost neither memory nor credit, outlive every process, and, as that
subscription has no dead-letter policy, may take any number of deliveries.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from asya.errors import ConnectionLostError, DeniedError, NoDestinationError, TransportError
from asya.transports.pubsub.connection import Connection
from asya.transports.pubsub.consumer import IDLE_FIRST, IDLE_LONGEST, LONG_POLL_SECONDS
from asya.transports.pubsub.leases import LONGEST, SUBSCRIBER, Leases, Token
from asya.transports.pubsub.refusals import Call

log = logging.getLogger(__name__)

DELAY: Final = "asya-delay-ms"
"""Attribute: milliseconds after the time of publishing, which is the broker's."""
PER_PULL: Final = 20
HELD: Final = 100
"""So many are kept here when their time is near, because the broker counts in seconds."""
HELD_BYTES: Final = 8_000_000
NEAR_SECONDS: Final = 2.0
SHORTEST_LEASE: Final = 10.0
AGAIN_SECONDS, MISSING_SECONDS = 1.0, 15.0

Forward = Callable[[bytes], Awaitable[None]]


class Delays:
    """Moves one actor's delayed messages on. `forward` publishes to the actor and returns when that is confirmed."""

    def __init__(self, connection: Connection, actor: str, subscription: str, forward: Forward) -> None:
        self._connection, self._subscription, self._forward = connection, subscription, forward
        self._call = Call("receive from", subscription, SUBSCRIBER, actor)
        self._leases = Leases(connection, subscription, actor)
        self._held: dict[asyncio.Task[None], tuple[Token, int]] = {}
        self._ending = asyncio.Event()
        self._reported = ""
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._running = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop; what is held here goes back. Idempotent."""
        self._ending.set()
        if self._running is not None:
            if not self._connection.emulated:
                self._running.cancel()  # an emulator would give the next message to a pull that was cancelled
            await asyncio.wait([self._running])
        held = dict(self._held)
        self.abandon()
        if held:
            await asyncio.wait(held)
        for token, _ in held.values():
            self._leases.leave(token, 1)
        await self._leases.flush()

    def abandon(self) -> None:
        """Stop at once, as a process that dies."""
        self._ending.set()
        for task in (self._running, *self._held):
            if task is not None:
                task.cancel()

    async def _run(self) -> None:
        idle = IDLE_FIRST
        while not self._ending.is_set():
            try:
                found = await self._connection.call(
                    "Pull",
                    self._call,
                    within=LONG_POLL_SECONDS,
                    subscription=self._subscription,
                    max_messages=PER_PULL,
                    return_immediately=self._connection.emulated,
                )
            except ConnectionLostError:
                idle = AGAIN_SECONDS
            except TransportError as error:
                self._report(error)
                idle = MISSING_SECONDS if isinstance(error, (NoDestinationError, DeniedError)) else AGAIN_SECONDS
            else:
                self._reported = ""
                for received in found.received_messages:
                    self._sort(received)
                idle = IDLE_FIRST if found.received_messages else min(idle * 2, IDLE_LONGEST)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(idle):
                    await self._ending.wait()

    def _report(self, error: TransportError) -> None:
        if str(error) != self._reported:
            self._reported = str(error)
            log.warning("delayed messages and retries do not come back: %s", error)

    def _sort(self, received: Any) -> None:  # noqa: ANN401  a message
        left = _due(received.message) - time.time()
        body: bytes = received.message.data
        token = self._leases.token(received.ack_id, SHORTEST_LEASE)
        held = sum(size for _, size in self._held.values())
        if left <= 0 or (left <= NEAR_SECONDS and len(self._held) < HELD and held + len(body) <= HELD_BYTES):
            task = asyncio.get_running_loop().create_task(self._hold(token, body, left))
            self._held[task] = (token, len(body))
            task.add_done_callback(lambda done: self._held.pop(done, None))
        else:
            self._leases.leave(token, int(min(left, LONGEST)))

    async def _hold(self, token: Token, body: bytes, left: float) -> None:
        try:
            if left > 0:
                await asyncio.sleep(left)
            await self._forward(body)
        except TransportError as error:
            log.warning("a message whose time has come could not be sent on, it is tried again: %s", error)
            self._leases.leave(token, int(SHORTEST_LEASE))
        else:
            self._leases.ack(token, _ignore)


def _due(message: Any) -> float:  # noqa: ANN401  a message
    """Time of the wall clock, in seconds; what bears no delay is due."""
    for attribute in message.attributes:
        if attribute.key == DELAY and attribute.value.isdecimal():
            published = message.publish_time
            # The broker cuts its time off at milliseconds.
            return float(published.seconds + published.nanos / 1e9 + (int(attribute.value) + 1) / 1000)
    return 0.0


def _ignore(error: BaseException | None) -> None:
    """What was not acknowledged goes to the actor once more: at least once."""
