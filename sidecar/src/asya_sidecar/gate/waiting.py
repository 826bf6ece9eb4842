"""Those who wait for the same thing, first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

LONGEST_SLEEP = 3600.0
"""Seconds after which a timer looks again at what is further away: loops take no timer of any length."""


class Waiting(Generic[T]):
    """A line of waiters. `serve` returns what the first of them gets, or None while there is nothing to get.

    `next_at` returns the loop time at which to look again, or None when only an event can change anything; `unused`
    takes back what came too late for its waiter.
    """

    def __init__(
        self,
        serve: Callable[[float], T | None],
        next_at: Callable[[], float | None],
        unused: Callable[[T], None],
    ) -> None:
        self._serve, self._next_at, self._unused = serve, next_at, unused
        self._loop = asyncio.get_running_loop()
        self._line: deque[asyncio.Future[T | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._line)

    def at_once(self) -> T | None:
        """Return what there is, unless somebody waits already."""
        return None if self._line else self._serve(self._loop.time())

    async def join(self) -> T | None:
        """Wait; None when everybody was sent away."""
        future: asyncio.Future[T | None] = self._loop.create_future()
        self._line.append(future)
        self.look()
        try:
            return await future
        except BaseException:
            if future in self._line:
                self._line.remove(future)
                self.look()
            elif not future.cancelled() and (found := future.result()) is not None:
                self._unused(found)
            raise

    def send_away(self) -> None:
        """Tell all who wait that they wait in vain."""
        line = list(self._line)
        self._line.clear()
        for future in line:
            if not future.done():
                future.set_result(None)

    def look(self) -> None:
        """Serve as many as can be, and look again when it is time."""
        while self._line:
            if self._line[0].done():  # it gave up, and is about to notice
                self._line.popleft()
                continue
            found = self._serve(self._loop.time())
            if found is None:
                break
            self._line.popleft().set_result(found)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        when = self._next_at() if self._line else None
        if when is not None:
            self._timer = self._loop.call_at(min(when, self._loop.time() + LONGEST_SLEEP), self.look)
