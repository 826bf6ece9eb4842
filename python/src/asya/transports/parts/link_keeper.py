"""A link that is made again, with growing pauses, whenever somebody finds it broken."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from asya.errors import ConnectionLostError, TransportError
from asya.transports.base import Link
from asya.transports.parts.backoff import Backoff

log = logging.getLogger(__name__)


class LinkKeeper:
    """Keeps `link` true. `connect` makes a working connection, or raises; it may be called any number of times.

    `made` counts the connections, so that whoever keeps something of an old one can tell.
    """

    def __init__(self, link: Link, connect: Callable[[], Awaitable[None]]) -> None:
        self._link, self._connect = link, connect
        self._opening, self._there = asyncio.Lock(), asyncio.Event()
        self._mending: asyncio.Task[None] | None = None
        self._open, self.made = False, 0

    async def open(self) -> None:
        """Connect. `ConnectionLostError` is tried again; any other error is raised. Idempotent."""
        async with self._opening:
            if not self._open:
                await self._insist(raising=True)
                self._open = True

    async def close(self) -> None:
        """Connect no more. Idempotent."""
        opened, self._open = self._open, False
        mending, self._mending = self._mending, None
        if mending is not None:
            mending.cancel()
            await asyncio.wait({mending})
        self._there.clear()
        if opened:
            self._link.set(False, "closed")

    def check(self) -> None:
        """Raise `ConnectionLostError` while there is no connection."""
        if not self._there.is_set():
            raise ConnectionLostError(f"not connected: {self._link.reason or 'not opened'}")

    async def there(self) -> None:
        """Wait until there is a connection."""
        await self._there.wait()

    def lost(self, reason: str) -> None:
        """Say that it is broken; a task then connects again, whatever goes wrong, until `close`."""
        if self._open and self._there.is_set():
            log.warning("%s", reason)
            self._there.clear()
            self._link.set(False, reason)
            self._mending = asyncio.get_running_loop().create_task(self._insist(raising=False))

    async def _insist(self, *, raising: bool) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._connect()
            except TransportError as error:
                if raising and not isinstance(error, ConnectionLostError):
                    raise
                self._link.set(False, str(error))
                await backoff.wait()
            else:
                self.made += 1
                self._there.set()
                self._link.set(True)
                return
