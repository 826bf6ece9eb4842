"""When `asya up --exit-when-idle` may end: pure, fed with what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

QUIET_SECONDS = 1.0
"""How long everything must have been empty: between two sends of a script there may be nothing for a moment."""
FORGOTTEN_SECONDS = 5.0
"""How long, when tasks are open that no queue holds (dead-lettered, or their report was lost)."""
STUCK_SECONDS = 5.0
"""How long only actors that cannot start have had messages."""


class Ending(Enum):
    """Why it ends."""

    IDLE = "idle"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One look. `waiting` and `failing` are actors that have messages, and those of them that cannot start."""

    now: float
    waiting: Sequence[str]
    failing: Sequence[str]
    open_tasks: int
    tasks_seen: int
    asked_at: float = 0.0
    """When somebody last sent a task or asked for one: who waits for an outcome must still find us."""


class IdleWatch:
    """Remembers since when nothing happened. Idle counts only after the first message or task was seen."""

    def __init__(self) -> None:
        self._seen = False
        self._idle_since: float | None = None
        self._stuck_since: float | None = None

    def look(self, sight: Sight) -> Ending | None:
        """Take one look; return an ending when it is time."""
        self._seen = self._seen or bool(sight.waiting) or sight.tasks_seen > 0
        idle = self._seen and not sight.waiting and sight.now - sight.asked_at >= QUIET_SECONDS
        stuck = bool(sight.waiting) and set(sight.waiting) == set(sight.failing)
        self._idle_since = self._since(self._idle_since, sight.now) if idle else None
        self._stuck_since = self._since(self._stuck_since, sight.now) if stuck else None
        quiet = FORGOTTEN_SECONDS if sight.open_tasks else QUIET_SECONDS
        if self._idle_since is not None and sight.now - self._idle_since >= quiet:
            return Ending.IDLE
        if self._stuck_since is not None and sight.now - self._stuck_since >= STUCK_SECONDS:
            return Ending.STUCK
        return None

    @staticmethod
    def _since(before: float | None, now: float) -> float:
        return now if before is None else before
