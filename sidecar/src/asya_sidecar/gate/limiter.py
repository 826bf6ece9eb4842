"""A rate limit with those who wait for it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from asya.policy import RateLimit
from asya.policy.bucket import TokenBucket
from asya_sidecar.gate.waiting import LONGEST_SLEEP, Waiting

HOLD_SECONDS = 10.0
"""Messages are received as long before they may be called; those whose turn is further away stay in the queue."""


class Limiter:
    """Lets through as many as the rate allows.

    `on_limited` hears how many seconds somebody waited, `on_room` that there is room again.
    """

    def __init__(self, limit: RateLimit, on_limited: Callable[[float], None], on_room: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._bucket = TokenBucket(limit, self._loop.time())
        self._on_limited, self._on_room = on_limited, on_room
        self._ahead = max(1, math.ceil(limit.rate * HOLD_SECONDS))
        self.waiting = Waiting(self._serve, lambda: self._bucket.next_at, lambda _token: None)

    def try_take(self) -> bool:
        """Take a token if there is one for us."""
        return self.waiting.at_once() is True

    async def take(self) -> bool:
        """Wait for a token; False when the wait is in vain."""
        since = self._loop.time()
        try:
            return await self.waiting.join() is True
        finally:
            self._on_limited(self._loop.time() - since)

    @property
    def room(self) -> int:
        """How many may be held that wait for a token."""
        return self._ahead if self._bucket.next_at - HOLD_SECONDS <= self._loop.time() else 0

    def _serve(self, now: float) -> bool | None:
        if not self._bucket.take(now):
            return None
        room_at = self._bucket.next_at - HOLD_SECONDS
        if room_at > now:
            self._loop.call_at(min(room_at, now + LONGEST_SLEEP), self._look_for_room)
        return True

    def _look_for_room(self) -> None:
        if self.room:
            self._on_room()
        else:
            room_at = self._bucket.next_at - HOLD_SECONDS
            self._loop.call_at(min(room_at, self._loop.time() + LONGEST_SLEEP), self._look_for_room)
