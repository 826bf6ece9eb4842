"""A circuit breaker: closed, open, half-open. Pure: time and chance are handed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from asya.policy.protection import CircuitBreaker, CircuitState

SLICES = 10
"""Parts of the window that the ratio is counted in; what leaves it, leaves by a part at a time."""
JITTER = 0.2
_LONGEST_DOUBLING = 63


class Ticket:
    """One attempt that was allowed. Its end counts once, and only in the state of the circuit that allowed it."""

    __slots__ = ("term",)

    def __init__(self, term: int) -> None:
        self.term = term


class Breaker:
    """The circuit of one target. Times are seconds of any clock that only goes forward.

    `chance` returns a number from 0 to 1: an opening is up to 20 % shorter than it might be, so that replicas do not
    probe together. An opening soon after the last one lasts twice as long as that one, up to `max_open_for`.
    """

    def __init__(self, limits: CircuitBreaker, chance: Callable[[], float]) -> None:
        self._limits, self._chance = limits, chance
        self.state: CircuitState = "closed"
        self.opened = 0
        """How often it has opened."""
        self.reopens_at = 0.0
        """While it is open: when probes may begin."""
        self._term = 0
        self._repeated = 0
        self._closed_at = float("-inf")
        self._lasted = 0.0
        self._failures: deque[float] = deque(maxlen=limits.failures)
        self._slices: deque[list[float]] = deque(maxlen=SLICES)
        self._probing = self._proved = 0

    @property
    def permits(self) -> int | None:
        """How many attempts may begin now; None: any number."""
        if self.state == "closed":
            return None
        return self._limits.probes - self._probing - self._proved if self.state == "half-open" else 0

    def tick(self, now: float) -> None:
        """Let time pass: an open circuit becomes half-open when its time is over."""
        if self.state == "open" and now >= self.reopens_at:
            self.state = "half-open"
            self._term += 1
            self._probing = self._proved = 0

    def begin(self, now: float) -> Ticket | None:
        """Allow an attempt, to be ended by `end`; None when none may begin."""
        self.tick(now)
        permits = self.permits
        if permits is not None:
            if permits <= 0:
                return None
            self._probing += 1
        return Ticket(self._term)

    def stands(self, ticket: Ticket) -> bool:
        """Tell whether an attempt that was allowed would still be."""
        return ticket.term == self._term

    def end(self, ticket: Ticket, now: float, *, failed: bool | None) -> None:
        """Take note of how an attempt ended; None: it says nothing about the target, or was never made."""
        if ticket.term != self._term:
            return
        ticket.term = -1
        if self.state == "half-open":
            self._probing -= 1
            if failed:
                self._open(now)
            elif failed is False:
                self._proved += 1
                if self._proved >= self._limits.probes:
                    self._close(now)
        elif failed is not None:
            self._count(now, failed=failed)

    def _count(self, now: float, *, failed: bool) -> None:
        if failed:
            self._failures.append(now)
        else:
            self._failures.clear()
        in_a_row = len(self._failures) == self._limits.failures and now - self._failures[0] <= self._limits.window
        if in_a_row or self._too_many(now, failed=failed):
            self._open(now)

    def _too_many(self, now: float, *, failed: bool) -> bool:
        limits = self._limits
        if limits.failure_ratio is None:
            return False
        if not self._slices or now - self._slices[-1][0] >= limits.window / SLICES:
            self._slices.append([now, 0, 0])
        self._slices[-1][1] += 1
        self._slices[-1][2] += failed
        while now - self._slices[0][0] > limits.window:
            self._slices.popleft()
        calls = sum(each[1] for each in self._slices)
        failures = sum(each[2] for each in self._slices)
        return calls >= limits.min_calls and failures >= limits.failure_ratio * calls and failures > 0

    def _open(self, now: float) -> None:
        limits = self._limits
        soon = self.state == "half-open" or now - self._closed_at < self._lasted
        self._repeated = self._repeated + 1 if soon else 0
        doubled = limits.open_for * 2.0 ** min(self._repeated, _LONGEST_DOUBLING)
        self._lasted = min(doubled, limits.max_open_for) * (1 - JITTER * self._chance())
        self.state, self.reopens_at = "open", now + self._lasted
        self.opened += 1
        self._term += 1
        self._failures.clear()
        self._slices.clear()

    def _close(self, now: float) -> None:
        self.state, self._closed_at = "closed", now
        self._term += 1
