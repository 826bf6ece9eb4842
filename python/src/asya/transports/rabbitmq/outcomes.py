"""From the outcomes of single messages to the one outcome that a caller waits for. Pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

Then = Callable[[BaseException | None], None]
"""Hears once how something ended: None, or what went wrong."""


class Several:
    """Waits for all of `count` outcomes, then hands on one: the first failure in the order of the messages."""

    def __init__(self, count: int, then: Then) -> None:
        self._left, self._then = count, then
        self._failures: dict[int, BaseException] = {}

    def part(self, index: int) -> Then:
        """Return who hears about message `index`, counted from 0."""
        return partial(self._heard, index)

    def _heard(self, index: int, error: BaseException | None) -> None:
        if error is not None:
            self._failures[index] = error
        self._left -= 1
        if not self._left:
            self._then(self._failures[min(self._failures)] if self._failures else None)
