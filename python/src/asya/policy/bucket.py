"""A token bucket that keeps one number: when the next token but `burst` is due (GCRA, ITU-T I.371 annex A)."""

from __future__ import annotations

from asya.policy.protection import RateLimit

_SLACK = 1e-6
"""Seconds by which a timer may be early: event loops round to the clock's resolution."""


class TokenBucket:
    """Tokens of one `RateLimit`. Times are seconds of any clock that only goes forward.

    A new bucket holds one token: processes that are started again and again do not get a burst each time.
    """

    __slots__ = ("_due", "_interval", "_saved")

    def __init__(self, limit: RateLimit, now: float) -> None:
        self._interval = 1.0 / limit.rate
        self._saved = (limit.burst - 1) * self._interval
        self._due = now + self._saved

    def take(self, now: float) -> bool:
        """Take a token; False when there is none."""
        if now < self.next_at - _SLACK:
            return False
        self._due = max(now, self._due) + self._interval
        return True

    @property
    def next_at(self) -> float:
        """When there is a token; in the past when there is one now."""
        return self._due - self._saved
