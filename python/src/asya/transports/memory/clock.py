"""Time as the in-memory broker sees it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """Something that was asked for later."""

    def cancel(self) -> None:
        """Do not call."""


class Clock(Protocol):
    """Seconds since any fixed moment, and calls at a time."""

    def now(self) -> float:
        """Return the time in seconds."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` at `when` or as soon as possible after it."""


class LoopClock:
    """The running event loop's clock."""

    def now(self) -> float:
        """Return the loop's time in seconds."""
        return asyncio.get_running_loop().time()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call on the loop."""
        return asyncio.get_running_loop().call_at(when, callback)


class _ManualTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Do not call."""
        self.callback = None


class ManualClock:
    """A clock that stands still until it is advanced; no real time passes."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _ManualTimer]] = []

    def now(self) -> float:
        """Return the time in seconds."""
        return self._now

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call while the clock is advanced to or past `when`; in order of time, then of asking."""
        timer = _ManualTimer(callback)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def next_timer(self) -> float | None:
        """Return the time of the next call, None when nothing is asked for."""
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass; each call is made at its own time, also those that are asked for meanwhile."""
        if seconds < 0:
            raise ValueError(f"time does not go back ({seconds} s)")
        end = self._now + seconds
        while (when := self.next_timer()) is not None and when <= end:
            timer = heapq.heappop(self._timers)[2]
            self._now = max(self._now, when)
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
        self._now = end
