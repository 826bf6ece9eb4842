"""A circuit breaker with those who wait for it to close."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable

from asya.policy import CircuitBreaker, CircuitState
from asya.policy.breaker import Breaker, Ticket
from asya_sidecar.gate.waiting import LONGEST_SLEEP, Waiting

log = logging.getLogger("asya.gate")


class Circuit:
    """The circuit of `what`. `on_state` hears of each change; nobody who waits is sent away by it."""

    def __init__(self, limits: CircuitBreaker, what: str, on_state: Callable[[CircuitState], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._breaker = Breaker(limits, random.random)
        self._what, self._on_state = what, on_state
        self._told: CircuitState = "closed"
        self._last_failure = ""
        self.waiting = Waiting(self._begin, lambda: None, lambda ticket: self.end(ticket, failed=None))

    @property
    def state(self) -> CircuitState:
        """As it was last noted."""
        return self._breaker.state

    @property
    def permits(self) -> int | None:
        """How many may begin now; None: any number."""
        return self._breaker.permits

    @property
    def notice(self) -> str:
        """What people should know; empty while it is closed."""
        if self.state == "closed":
            return ""
        if self.state == "half-open":
            return f"circuit of {self._what} is half-open after: {self._last_failure}"
        until = time.time() + self._breaker.reopens_at - self._loop.time()
        clock = time.strftime("%H:%M:%S", time.gmtime(round(until)))
        return f"circuit of {self._what} is open until {clock} UTC after: {self._last_failure}"

    def try_begin(self) -> Ticket | None:
        """Begin at once if that is allowed."""
        return self.waiting.at_once()

    def stands(self, ticket: Ticket) -> bool:
        """Tell whether what was allowed still is."""
        return self._breaker.stands(ticket)

    def end(self, ticket: Ticket, *, failed: bool | None, why: str = "") -> None:
        """Take note of an end; None: it says nothing, or nothing was begun."""
        if failed:
            self._last_failure = why
        self._breaker.end(ticket, self._loop.time(), failed=failed)
        self._note()
        self.waiting.look()

    def _begin(self, now: float) -> Ticket | None:
        ticket = self._breaker.begin(now)
        self._note()
        return ticket

    def _note(self) -> None:
        state = self._breaker.state
        if state == self._told:
            return
        self._told = state
        if state == "open":
            log.warning(self.notice)
            self._set_timer()
        else:
            log.info("circuit of %s is %s", self._what, state)
        self._on_state(state)

    def _set_timer(self) -> None:
        when = min(self._breaker.reopens_at, self._loop.time() + LONGEST_SLEEP)
        self._loop.call_at(when, self._time_over)

    def _time_over(self) -> None:
        if self._breaker.state != "open":
            return
        now = self._loop.time()
        if now < self._breaker.reopens_at:
            self._set_timer()  # it came a hair early
            return
        self._breaker.tick(now)
        self._note()
        self.waiting.look()
