"""Whether the event loop turns: what came while it stood still has waited for longer than it seems."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

BEATS: Final = 5
"""How often the loop is looked at within the time that it may stand still."""


class Pulse:
    """Notices when the loop has stood still for more than `most` seconds, and calls `on_stop` then.

    A process that is starved of CPU time, or a machine that is paused, receives nothing; its sockets do. A lease is
    counted from when a message is read, so one that has waited in a socket would be held for ours when it is not.
    """

    def __init__(self, most: float, on_stop: Callable[[], None]) -> None:
        self._most, self._on_stop = most, on_stop
        self._clock = asyncio.get_running_loop().time
        self._last = self._clock()
        self._stopped = False

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(self._most / BEATS)
            self.stopped()

    def stopped(self) -> bool:
        """Tell whether the loop has stood still since `forgive`, this moment included."""
        last, self._last = self._last, self._clock()
        if self._last - last > self._most and not self._stopped:
            self._stopped = True
            self._on_stop()
        return self._stopped

    def forgive(self) -> None:
        """Begin anew: nothing is waiting that came before now."""
        self._last, self._stopped = self._clock(), False
