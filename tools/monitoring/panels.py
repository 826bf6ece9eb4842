"""What dashboards consist of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from asya.local.metrics.query import Query

Unit = Literal["s", "bytes", "percentunit", "mps", "short"]
"""Grafana's names; `mps` is messages a second."""
Kind = Literal["timeseries", "stat", "heatmap", "nodegraph", "table"]
Threshold = tuple[float, Literal["warning", "bad"]]


@dataclass(frozen=True, slots=True)
class Target:
    """One query; ``{{label}}`` in its legend stands for the label's value."""

    query: Query
    legend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel. `width` of 24.

    `nonzero`: series of many kinds, most of which stay at 0 and are left out; `live`: the page of `asya up --metrics`
    shows it too.
    """

    title: str
    description: str
    unit: Unit
    targets: tuple[Target, ...]
    kind: Kind = "timeseries"
    thresholds: tuple[Threshold, ...] = ()
    width: int = 8
    height: int = 8
    stack: bool = False
    nonzero: bool = False
    live: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and the panels under it."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One dashboard. `several`: more than one actor may be chosen, at first all."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    several: bool = True

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All panels, in their order."""
        return tuple(panel for row in self.rows for panel in row.panels)
