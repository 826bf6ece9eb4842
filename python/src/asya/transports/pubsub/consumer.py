"""Deliveries of one actor's subscription, handed out within the credit, through lost connections and ended streams."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from asya.errors import ConnectionLostError, TransportError
from asya.transports.base import Delivery
from asya.transports.pubsub.connection import Connection
from asya.transports.pubsub.leases import SUBSCRIBER, Leases, Token
from asya.transports.pubsub.pulse import Pulse
from asya.transports.pubsub.refusals import Call, InvalidError

log = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0
IDLE_FIRST, IDLE_LONGEST = 0.01, 0.2
"""Seconds between questions to an emulator that has nothing; Google's server is not asked, it sends."""
LONG_POLL_SECONDS: Final = 100.0
SHORTEST_STREAM_LEASE: Final = 10
PER_PULL: Final = 100
NO_ID: Final = "none"


class ActorConsumer:
    """Receives by a stream whose flow control is the credit, or by single pulls of exactly the free credit.

    What comes in excess (the broker keeps to flow control roughly) waits here, its leases kept alive, until there is
    credit. Giving it back instead would count as a failed delivery. What came while the loop stood still for half a
    lease is not handed out: nobody can tell since when its leases run, and it comes again.
    """

    def __init__(
        self,
        connection: Connection,
        actor: str,
        subscription: str,
        credit: int,
        on_delivery: Callable[[Delivery], None],
        *,
        lease_seconds: int,
        stream: bool,
    ) -> None:
        self.leases = Leases(connection, subscription, actor, self._settled)
        self._connection, self._actor, self._subscription = connection, actor, subscription
        self._credit, self._on_delivery = credit, on_delivery
        self._lease_seconds, self._by_stream = lease_seconds, stream
        self._call = Call("receive from", subscription, SUBSCRIBER, actor)
        self._out: set[Token] = set()
        self._waiting: deque[Delivery] = deque()
        self._closed = False
        self._changed = asyncio.Event()
        self._ending = asyncio.Event()
        self._pulse = Pulse(lease_seconds / 2, self._stood_still)
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Begin to receive.

        Raises:
            NoDestinationError: There is no such subscription.
            DeniedError: It may not be received from.
        """
        # An id that is none: whoever may receive may ask this, and it tells whether there is anything to receive from.
        with contextlib.suppress(InvalidError):
            await self._connection.call(
                "ModifyAckDeadline",
                self._call,
                subscription=self._subscription,
                ack_ids=[NO_ID],
                ack_deadline_seconds=0,
            )
        create = asyncio.get_running_loop().create_task
        self._tasks = [create(self._run()), create(self._keep_waiting()), create(self._pulse.run())]

    def set_credit(self, credit: int) -> None:
        """Change how many may be out at once."""
        if credit < 0:
            raise ValueError(f"credit is {credit}, expected 0 or more")
        if credit != self._credit:
            self._credit = credit
            self._ending.set()  # a stream's flow control cannot be changed, so there will be another stream
            self._hand_out()
            self._changed.set()

    async def close(self) -> None:
        """Receive nothing more; what is out may still be settled. Idempotent."""
        self._closed = True
        self._ending.set()
        self._changed.set()
        await self._end_tasks()
        self._give_back_waiting()
        await self.leases.flush()

    async def abandon(self) -> None:
        """Receive nothing more and give nothing back, as a process that dies."""
        self._closed = True
        self._ending.set()
        self._changed.set()
        await self._end_tasks()

    async def release(self) -> None:
        """After `close`: give back all that is out."""
        for token in list(self._out):
            self.leases.release(token, _ignore)
        await self.leases.flush()

    async def _end_tasks(self) -> None:
        """Wait until receiving has ended, which it does by itself."""
        for task in self._tasks[1:]:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _stood_still(self) -> None:
        log.warning("stood still for more than half a lease; what Pub/Sub sent %s meanwhile comes again", self._actor)
        self._ending.set()

    def _settled(self, token: Token) -> None:
        self._out.discard(token)
        if self._waiting:
            self._hand_out()
        self._changed.set()

    async def _run(self) -> None:
        wait = FIRST_WAIT
        while not self._closed:
            self._ending.clear()
            self._changed.clear()
            self._pulse.forgive()
            if not self._credit:
                self._give_back_waiting()
                await self._changed.wait()
                continue
            try:
                await (self._stream() if self._by_stream else self._pull())
                wait = FIRST_WAIT
                continue
            except ConnectionLostError as error:
                # Google ends each stream after some time; what is lost with the connection is the link's to tell.
                log.debug("receiving from %s ended, begun again: %s", self._subscription, error)
            except TransportError as error:
                log.warning("not receiving from %s, trying again: %s", self._subscription, error)
            except Exception:
                # Nobody else would ever receive again, so this goes on whatever happens.
                log.exception("an error of ours while receiving from %s", self._subscription)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait * random.uniform(0.5, 1.0)):  # noqa: S311  spreads, guards nothing
                    await self._ending.wait()
            wait = min(wait * 2, LONGEST_WAIT)

    async def _stream(self) -> None:
        lease = max(self._lease_seconds, SHORTEST_STREAM_LEASE)
        responses = self._connection.stream(
            self._call,
            self._ending,
            subscription=self._subscription,
            stream_ack_deadline_seconds=lease,
            max_outstanding_messages=self._credit,
        )
        async with contextlib.aclosing(responses):
            async for response in responses:
                if self._pulse.stopped():
                    continue
                if response.HasField("subscription_properties"):
                    self.leases.exactly_once = response.subscription_properties.exactly_once_delivery_enabled
                for received in response.received_messages:
                    self._arrived(received, shorten=lease > self._lease_seconds)

    async def _pull(self) -> None:
        # Pulls do not tell; waiting for the answer is right for either kind of subscription.
        self.leases.exactly_once = True
        idle = IDLE_FIRST
        while not self._ending.is_set():
            self._changed.clear()
            free = min(self._credit - len(self._out) - len(self._waiting), PER_PULL)
            if free <= 0:
                await self._changed.wait()
                continue
            found = await self._pull_once(free)
            if found is None or self._pulse.stopped():
                return
            for received in found.received_messages:
                self._arrived(received, shorten=True)
            if found.received_messages:
                idle = IDLE_FIRST
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(idle):
                    await self._ending.wait()
            idle = min(idle * 2, IDLE_LONGEST)

    async def _pull_once(self, free: int) -> Any:  # noqa: ANN401  a message, or None when receiving was ended meanwhile
        pulling = asyncio.get_running_loop().create_task(
            self._connection.call(
                "Pull",
                self._call,
                within=LONG_POLL_SECONDS,
                subscription=self._subscription,
                max_messages=free,
                return_immediately=self._connection.emulated,
            )
        )
        if self._connection.emulated:
            return await pulling  # it answers at once
        ending = asyncio.get_running_loop().create_task(self._ending.wait())
        try:
            await asyncio.wait({pulling, ending}, return_when=asyncio.FIRST_COMPLETED)
            return await pulling if pulling.done() else None
        finally:
            pulling.cancel()
            ending.cancel()

    def _arrived(self, received: Any, *, shorten: bool) -> None:  # noqa: ANN401  a message
        token = self.leases.token(received.ack_id, self._lease_seconds)
        delivery = Delivery(
            received.message.data, self._actor, token, received.delivery_attempt or 1, float(self._lease_seconds)
        )
        if shorten:
            # The lease is the subscription's, which we may not ask for; and its end has to be known here.
            self.leases.begin(token, self._lease_seconds)
        self._waiting.append(delivery)
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting and len(self._out) < self._credit and not self._closed:
            delivery = self._waiting.popleft()
            if delivery.token.lost() is None:
                self._out.add(delivery.token)
                self._on_delivery(delivery)

    async def _keep_waiting(self) -> None:
        """Keep the leases of what waits for credit alive; the holder keeps those that were handed out."""
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            waiting = [delivery.token for delivery in self._waiting]
            found = await asyncio.gather(
                *(self.leases.extend(token, self._lease_seconds) for token in waiting), return_exceptions=True
            )
            lost = {token for token, error in zip(waiting, found, strict=True) if error is not None}
            self._waiting = deque(delivery for delivery in self._waiting if delivery.token not in lost)

    def _give_back_waiting(self) -> None:
        while self._waiting:
            self.leases.release(self._waiting.popleft().token, _ignore)


def _ignore(error: BaseException | None) -> None:
    """Hear what became of something that comes again in any case."""
