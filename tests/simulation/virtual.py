"""The one place where the product's clocks and its chance become the simulation's."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.simulation.eventloop import SimulationLoop

from asya.wire import clock

EPOCH = 1_800_000_000.0
"""Unix seconds at the start of every run."""


class WallClock:
    """What `time.time` says; `jump` is what an operator or NTP does to it."""

    def __init__(self, loop: SimulationLoop) -> None:
        self._loop = loop
        self._offset = EPOCH
        self._jumps: list[tuple[float, float, float]] = []
        """For each jump: loop time, the reading before and the one after."""

    def now(self) -> float:
        """Return Unix seconds."""
        return self._offset + self._loop.time()

    def jump(self, seconds: float) -> None:
        """Let it stand `seconds` further, or back where negative."""
        before = self.now()
        self._offset += seconds
        self._jumps.append((self._loop.time(), before, self.now()))

    def highest_since(self, since: float) -> float:
        """Return the latest reading anyone can have had since loop time `since`."""
        return max([self.now(), *(max(before, after) for at, before, after in self._jumps if at >= since)])

    def lowest_since(self, since: float) -> float:
        """Return the earliest reading anyone can have had since loop time `since`."""
        jumps = [jump for jump in self._jumps if jump[0] >= since]
        if not jumps:
            return self.now() - (self._loop.time() - since)
        at, before, _ = jumps[0]
        return min([before - (at - since), self.now(), *(after for _, _, after in jumps)])


@contextmanager
def virtual_time(loop: SimulationLoop, wall: WallClock, seed: str) -> Iterator[None]:
    """Have the `time` and `random` modules say what the simulation says."""
    kept = {name: getattr(time, name) for name in ("time", "monotonic", "perf_counter", "time_ns", "monotonic_ns")}
    state = random.getstate()
    collecting = gc.isenabled()
    time.time = wall.now
    time.monotonic = time.perf_counter = loop.time
    time.time_ns = lambda: int(wall.now() * 1e9)
    time.monotonic_ns = lambda: int(loop.time() * 1e9)
    random.seed(seed)
    clock._last = (0, "1970-01-01T00:00:00")
    # Finalizers of what a killed process leaves behind would run at a moment that is not ours to choose.
    gc.disable()
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(time, name, function)
        random.setstate(state)
        if collecting:
            gc.enable()
