"""The last minutes of every panel of the live page, kept in memory."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from prometheus_client import Metric

from asya.local.metrics.evaluate import Look, answer, look_at
from asya.local.metrics.query import Query

KEPT_SECONDS = 900.0
RATE_SECONDS = 10.0
"""Counters are compared with a look at least this long ago."""
MOST_SERIES = 60
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


class Target(msgspec.Struct, frozen=True):
    """One query of a panel; ``{{label}}`` in its legend stands for the label's value."""

    query: Query
    legend: str


class Threshold(msgspec.Struct, frozen=True):
    """From `value` on a number is shown as ``warning`` or ``bad``."""

    value: float
    level: str


class Panel(msgspec.Struct, frozen=True):
    """One panel, as generated; `kind` is ``timeseries``, ``stat`` or ``nodegraph``, `width` of 24.

    `nonzero`: series that are 0 all the time are left out.
    """

    title: str
    description: str
    unit: str
    kind: str
    width: int
    stack: bool
    nonzero: bool
    thresholds: list[Threshold]
    targets: list[Target]


Points = deque[tuple[float, float]]


class Live:
    """Histories of `panels`: by panel and legend, pairs of Unix time and value."""

    def __init__(self, panels: Sequence[Panel]) -> None:
        self.panels = panels
        self._looks: deque[tuple[float, Look]] = deque()
        self._histories: list[dict[str, Points]] = [{} for _ in panels]

    def take(self, now: float, families: Iterable[Metric]) -> None:
        """Take in one look at everything; `now` in Unix seconds, later than the last."""
        look = look_at(families)
        while len(self._looks) > 1 and self._looks[1][0] <= now - RATE_SECONDS:
            self._looks.popleft()
        at, then = self._looks[0] if self._looks else (now, None)
        for panel, history in zip(self.panels, self._histories, strict=True):
            for target in panel.targets:
                by = getattr(target.query, "by", None)
                labels = target.query.bottom.by if by is None else by  # type: ignore[union-attr]  # a Ratio has no `by` itself
                for values, number in answer(target.query, look, then, now - at).items():
                    legend = _filled(target.legend, dict(zip(labels, values, strict=True)))
                    if legend in history or len(history) < MOST_SERIES:
                        history.setdefault(legend, deque()).append((now, number))
            _forget(history, now - KEPT_SECONDS)
        self._looks.append((now, look))

    def since(self, after: float) -> list[dict[str, list[tuple[float, float]]]]:
        """Return for each panel the points later than `after` by legend; every legend is there."""
        return [
            {legend: [point for point in points if point[0] > after] for legend, points in history.items()}
            for history in self._histories
        ]


def read_panels(text: bytes) -> list[Panel]:
    """Read the generated ``panels.json``."""
    return msgspec.json.decode(text, type=list[Panel])


def _filled(legend: str, labels: dict[str, Any]) -> str:
    return _PLACEHOLDER.sub(lambda found: str(labels.get(found[1], "")), legend)


def _forget(history: dict[str, Points], before: float) -> None:
    for legend, points in list(history.items()):
        while points and points[0][0] <= before:
            points.popleft()
        if not points:
            del history[legend]
