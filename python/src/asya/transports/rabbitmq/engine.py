"""What moves messages: the face of an engine.

An engine is one life of two connections, one to publish and one to consume; when either breaks, the engine is done for
and `lost` tells so. Coming back is `session`'s business, credit is `consumer`'s. `aiopika` is the first implementation.
Another gets a module beside it, a word in the setting ASYA_RABBITMQ_ENGINE, and a line in `transport`.
Errors are `asya.errors.TransportError`s only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Publication:
    """One message to publish. `actor` and `queue` name the destination in errors."""

    exchange: str
    key: str
    body: bytes
    actor: str
    queue: str
    headers: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message as it came; `tag` is valid on the subscription it came by."""

    tag: int
    body: bytes
    redelivered: bool
    headers: Mapping[str, Any]


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
        """Settle; it goes to the network at the end of this turn of the loop."""

    def nack(self, tag: int) -> None:
        """Give back for anyone."""

    async def close(self) -> None:
        """Send what is to be sent, and close the channel; the broker takes back what is unsettled. Idempotent."""


class Engine(Protocol):
    """One life of two connections."""

    lost: asyncio.Future[str]
    """Done, with the reason, when one of the connections has broken."""

    async def publish(self, publications: Sequence[Publication]) -> None:
        """Publish persistently; return when the broker has confirmed all, or raise for the first that has failed.

        Raises:
            NoDestinationError: No queue is bound to it.
            RefusedError: The broker blocks publishers, or the queue rejects.
            TooLargeError: Over the broker's own limit.
            ConnectionLostError: Unknown whether it arrived.
            DeniedError: The user may not publish there.
        """

    async def subscribe(
        self, queue: str, actor: str, on_arrival: Callable[[Arrival], None], on_end: Callable[[], None]
    ) -> Subscription:
        """Open a channel for `queue`, not yet receiving.

        `on_end` is called when the channel ends, for whatever reason, and when the broker has stopped the receiving.

        Raises:
            NoDestinationError: The queue does not exist.
        """

    async def close(self) -> None:
        """Disconnect. Idempotent."""


OnBlocked = Callable[[str | None], None]
"""Hears why the broker takes no messages for now, and None when it does again."""
Connect = Callable[[OnBlocked], Awaitable[Engine]]
"""Starts an engine's life."""
