"""What moves messages: the face of an engine.

An engine is one life of two connections, one to publish and one to consume; when either breaks, the engine is done for
and `lost` tells so. Coming back is `session`'s business, credit is `consumer`'s. There are two: `fast` speaks AMQP by
itself, `aiopika` by a library. Another gets a module beside them, a word in the setting ASYA_RABBITMQ_ENGINE, and a
line in `engines`.

What happens for each message is plain calls and callbacks, so that no task and no future is made for it.
Errors are `asya.errors.TransportError`s only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from asya.errors import TransportError


@dataclass(frozen=True, slots=True, eq=False)
class Destination:
    """Where messages go; `actor` and `queue` name it in errors.

    Best one object for many messages: engines keep what they have encoded for it.
    """

    exchange: str
    key: str
    actor: str
    queue: str


@dataclass(slots=True, eq=False)
class Publication:
    """One message to publish."""

    destination: Destination
    body: bytes
    headers: Mapping[str, Any] | None = None


OnPublished = Callable[[TransportError | None], None]
"""Hears once that the broker has confirmed a message, or why it has not. Must not raise."""
OnArrival = Callable[[int, bytes, bool, Mapping[str, Any]], None]
"""Hears of one message: its tag, valid on the subscription it came by; body; whether it was given out before; headers,
which are the same empty mapping for all messages that have none."""
OnBlocked = Callable[[str | None], None]
"""Hears why the broker takes no messages for now, and None when it does again."""
NO_HEADERS: Mapping[str, Any] = MappingProxyType({})


class Subscription(Protocol):
    """A channel for one queue's deliveries. Calls on one that is not alive raise `ConnectionLostError`."""

    @property
    def alive(self) -> bool:
        """Whether its deliveries can still be settled."""

    @property
    def running(self) -> bool:
        """Whether it receives: started, not stopped, and not cancelled by the broker."""

    async def start(self, prefetch: int) -> None:
        """Receive, at most `prefetch` of this start unsettled at once.

        Raises:
            NoDestinationError: The queue does not exist. The subscription is then not alive.
        """

    async def stop(self) -> None:
        """Receive nothing more; what is unsettled stays so. Nothing arrives after this has returned."""

    def ack(self, tag: int) -> None:
        """Settle; it goes to the network in a moment, together with others."""

    def nack(self, tag: int) -> None:
        """Give back for anyone."""

    async def close(self) -> None:
        """Send what is to be sent, and close the channel; the broker takes back what is unsettled. Idempotent."""


class Engine(Protocol):
    """One life of two connections."""

    lost: asyncio.Future[str]
    """Done, with the reason, when one of the connections has broken."""

    def publish(self, publication: Publication, on_published: OnPublished) -> None:
        """Publish persistently; `on_published` is called when the broker has confirmed it, or with what went wrong.

        It may be called before this returns. Messages to one destination keep their order. How much may be on the way
        unconfirmed is bounded; what is beyond it waits its turn.

        Errors that are told:
            NoDestinationError: No queue is bound to it.
            RefusedError: The broker blocks publishers, or the queue rejects.
            TooLargeError: Over the broker's own limit.
            ConnectionLostError: Unknown whether it arrived.
            DeniedError: The user may not publish there.
        """

    async def subscribe(
        self, queue: str, actor: str, on_arrival: OnArrival, on_end: Callable[[], None]
    ) -> Subscription:
        """Open a channel for `queue`, not yet receiving.

        `on_end` is called when the channel ends, for whatever reason, and when the broker has stopped the receiving.

        Raises:
            NoDestinationError: The queue does not exist.
        """

    async def close(self) -> None:
        """Disconnect. Idempotent."""


Connect = Callable[[OnBlocked], Awaitable[Engine]]
"""Starts an engine's life."""
