"""What a cloud answers instead of doing what it was asked: which calls meet it, and how often it was met."""

from __future__ import annotations

from dataclasses import dataclass

THROTTLED, UNAVAILABLE, EXPIRED, SKEWED, DENIED = "throttled", "unavailable", "expired", "skewed", "denied"
KINDS = (THROTTLED, UNAVAILABLE, EXPIRED, SKEWED, DENIED)


@dataclass
class Trouble:
    """Calls are refused: all of them, or of `only` some kinds; each `passing`-th is let through (0: none).

    `left`: how many are refused before it is over by itself; None: until somebody ends it.
    """

    kind: str
    only: tuple[str, ...] = ()
    passing: int = 0
    left: int | None = None
    met: int = 0
    _calls: int = 0

    def meets(self, operation: str) -> bool:
        """Count a call, and tell whether it is refused."""
        if self.left == 0 or (self.only and operation not in self.only):
            return False
        self._calls += 1
        if self.passing and self._calls % self.passing == 0:
            return False
        self.met += 1
        if self.left is not None:
            self.left -= 1
        return True
