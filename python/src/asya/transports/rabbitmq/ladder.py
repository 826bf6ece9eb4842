"""Delays of any length by a ladder of shared queues. Pure.

Level n holds every message for 2^n units, so a queue's messages all wait equally long and none waits behind another. A
routing key carries the delay in binary, highest level first, then namespace and actor: ``0.1.1.shop.resize`` on three
levels is three units. The exchange of level n looks at its own bit: 1 = into the level's queue, and when its
time-to-live is over the broker hands the message to the next exchange; 0 = to the next exchange at once. Below level 0
lies the exchange of arrivals, to which each actor's queue is bound. Everything is declared beforehand, and nobody
writes to the default exchange.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from asya.transports.naming import DELAYS

DUE_HEADER = "x-asya-due-ms"
"""Unix time in milliseconds; only on messages whose delay is longer than the ladder, which then go round again."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """`levels` queues; level 0 waits `unit_ms` milliseconds. The default reaches 7 h 16 min in steps of 100 ms."""

    levels: int = 18
    unit_ms: int = 100

    @property
    def longest(self) -> float:
        """Longest delay in seconds that one way down the ladder can give."""
        return ((1 << self.levels) - 1) * self.unit_ms / 1000

    @property
    def arrivals(self) -> str:
        """Exchange that hands out what has waited."""
        return f"{DELAYS}.arrivals"

    @property
    def lost(self) -> str:
        """Exchange and queue of what has waited for an actor that is gone."""
        return f"{DELAYS}.lost"

    @property
    def marker(self) -> str:
        """Exchange that is declared last: where it exists, the whole ladder does."""
        return f"{DELAYS}.{self.levels}x{self.unit_ms}ms"

    @property
    def top(self) -> str:
        """Exchange at which every way begins: the one exchange that those who delay need a right to write to."""
        return self.exchange(self.levels - 1)

    def exchange(self, level: int) -> str:
        """Name of a level's exchange."""
        return f"{DELAYS}.{level}"

    def queue(self, level: int) -> str:
        """Name of a level's queue."""
        return f"{DELAYS}.{level}"

    def level_ms(self, level: int) -> int:
        """How long a level holds a message, in milliseconds."""
        return self.unit_ms << level

    def pattern(self, level: int, bit: int) -> str:
        """Binding key for messages whose bit of `level` is `bit`."""
        return "*." * (self.levels - 1 - level) + f"{bit}.#"

    def arrival_pattern(self, namespace: str, actor: str) -> str:
        """Binding key of an actor's queue at the exchange of arrivals."""
        return f"#.{namespace}.{actor}"

    def route(self, delay: float, namespace: str, actor: str) -> tuple[str, str]:
        """Return exchange and routing key for a delay in seconds: never shorter than asked, at most one unit longer.

        A delay over `longest` is cut to it; the due time has to travel along.
        """
        # Rounded first, or 0.3 s would be 3.0000000000000004 units and so four.
        units = math.ceil(round(min(delay, self.longest) * 1000 / self.unit_ms, 6))
        units = max(1, min(units, (1 << self.levels) - 1))
        bits = ".".join(format(units, f"0{self.levels}b"))
        return self.top, f"{bits}.{namespace}.{actor}"
