"""Events that stand as long as their cause does: posted once, kept from expiring, taken back when it is over."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from asya.errors import AsyaError
from asya.operator.events import Event

FRESH = timedelta(minutes=30)
"""An API server forgets an event an hour after it was written last (`--event-ttl`)."""

log = logging.getLogger("asya.operator")


class Board(Protocol):
    """Where events are put; see `asya.operator.cluster.Cluster`."""

    def put(self, event: Event, since: datetime, count: int) -> None:
        """Write an event under its name."""

    def take_back(self, event: Event) -> None:
        """Delete it."""


@dataclass(slots=True)
class _Posted:
    event: Event
    since: datetime
    written: datetime
    count: int = 1


class LastingEvents:
    """The events of one operator's life. One that died leaves its own to the API server, which forgets them."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._posted: dict[Hashable, _Posted] = {}

    def namespaces(self) -> set[str]:
        """Return the namespaces of the objects that have some."""
        return {posted.event.regarding.namespace for posted in self._posted.values()}

    def show(self, events: Mapping[Hashable, Event], now: datetime) -> None:
        """Make `events`, by cause, all there is. What cannot be written is tried again the next time."""
        for cause, event in events.items():
            posted = self._posted.get(cause)
            if posted is not None and posted.event == event and now - posted.written < FRESH:
                continue
            if posted is None:
                log.warning("%s: %s: %s", _whose(event), event.reason, event.message)
            since, count = (now, 1) if posted is None else (posted.since, posted.count + 1)
            try:
                self._board.put(event, since, count)
            except AsyaError as error:
                log.warning("the event could not be posted: %s", error)
                continue
            self._posted[cause] = _Posted(event, since, now, count)
        for cause in self._posted.keys() - events.keys():
            event = self._posted[cause].event
            log.info("%s: %s is over", _whose(event), event.reason)
            try:
                self._board.take_back(event)
            except AsyaError as error:
                log.warning("the event could not be taken back: %s", error)
                continue
            del self._posted[cause]


def _whose(event: Event) -> str:
    return f"{event.regarding.namespace}/{event.regarding.name}"
