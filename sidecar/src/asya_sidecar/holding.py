"""What the broker has lent us: deliveries that are not settled yet, and their leases."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from asya.errors import LeaseLostError, TransportError
from asya.transports import Delivery, Settle, Transport
from asya_sidecar.hop import Hop
from asya_sidecar.observe import Observer

log = logging.getLogger("asya.loop")

INTERNAL_ERROR: Final = "internal-error"
"""Reason of a dead letter that met an error of ours; no row of the truth table leads there."""


class Holding:
    """All hops whose delivery is unsettled, prefetched ones included."""

    def __init__(self, transport: Transport, observer: Observer | None) -> None:
        self._transport, self._observer = transport, observer
        self._hops: set[Hop] = set()
        self._doubtful: set[Hop] = set()
        """Received before the connection broke: they may be void."""
        self._leased = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        transport.link.on_change.append(self._link_changed)

    def __len__(self) -> int:
        return len(self._hops)

    def all(self) -> list[Hop]:
        """Return what is held now."""
        return list(self._hops)

    def add(self, hop: Hop) -> None:
        """Hold one more."""
        if not self._hops:
            self._empty.clear()
        self._hops.add(hop)
        if hop.delivery.lease_seconds is not None:
            self._leased.set()

    def remove(self, hop: Hop) -> None:
        """Let go of one that is settled."""
        self._hops.discard(hop)
        if self._doubtful:
            self._doubtful.discard(hop)
        if not self._hops:
            self._empty.set()

    async def empty(self) -> None:
        """Wait until nothing is held."""
        await self._empty.wait()

    async def release(self, hop: Hop) -> None:
        """Give one back."""
        try:
            await self._transport.complete(hop.delivery, (), Settle.RELEASE)
        except TransportError as error:
            log.debug("not released, the broker does it when the lease ends: %s", error)
        if self._observer is not None:
            self._observer.released(hop)

    async def put_aside(self, hop: Hop) -> None:
        """Dead-letter a message that cannot be handled; where even that fails, it goes back."""
        try:
            await self._transport.complete(hop.delivery, (), Settle.DEAD_LETTER, INTERNAL_ERROR)
        except TransportError:
            log.exception("not dead-lettered")
            await self.release(hop)

    def is_doubtful(self, hop: Hop) -> bool:
        """Tell whether it came by a connection that has broken since."""
        return bool(self._doubtful) and hop in self._doubtful

    async def is_void(self, hop: Hop) -> bool:
        """Tell whether the broker gives the message to somebody else, so that calling the handler would be in vain."""
        try:
            await self._transport.extend(hop.delivery, hop.delivery.lease_seconds or 0.0)
        except LeaseLostError:
            return True
        except TransportError as error:
            log.debug("cannot tell whether a delivery is still ours: %s", error)
        return False

    async def keep_leases(self) -> None:
        """Extend every lease when a third of it is over, for as long as this runs."""
        while True:
            await self._leased.wait()
            leases = [seconds for hop in self._hops if (seconds := hop.delivery.lease_seconds) is not None]
            if not leases:
                self._leased.clear()
                continue
            await asyncio.sleep(min(leases) / 3)
            await asyncio.gather(*(self._extend(hop, hop.delivery) for hop in self.all()))

    async def _extend(self, hop: Hop, delivery: Delivery) -> None:
        if delivery.lease_seconds is None:
            return
        try:
            await self._transport.extend(delivery, delivery.lease_seconds)
        except LeaseLostError:
            if hop in self._hops:  # else it was settled while the question was on its way
                log.warning("a lease was lost while the message was worked on; it comes again")
                if self._observer is not None:
                    self._observer.lease_lost()
        except TransportError as error:
            log.warning("a lease could not be extended: %s", error)
        else:
            if self._observer is not None:
                self._observer.lease_extended()

    def _link_changed(self, connected: bool) -> None:  # noqa: FBT001
        if not connected:
            self._doubtful.update(self._hops)
