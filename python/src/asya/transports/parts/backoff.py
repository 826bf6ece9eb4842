"""How long to wait before something is tried again that failed for now."""

from __future__ import annotations

import asyncio
import random
from typing import Final

FIRST_WAIT: Final = 0.2
LONGEST_WAIT: Final = 5.0


class Backoff:
    """Waiting times in seconds: doubled each time up to a cap, then shortened by up to half at random."""

    def __init__(self) -> None:
        self._next = FIRST_WAIT

    def reset(self) -> None:
        """Begin again with the shortest."""
        self._next = FIRST_WAIT

    def next(self) -> float:
        """Return the next waiting time."""
        wait, self._next = self._next, min(self._next * 2, LONGEST_WAIT)
        return wait * random.uniform(0.5, 1.0)  # noqa: S311  spreads retries, guards nothing

    async def wait(self) -> None:
        """Sleep for the next waiting time."""
        await asyncio.sleep(self.next())
