"""The rows of the table: what each measures, its unit and its goal; and how rounds become one figure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Row:
    """One figure. `goal` None: told, not judged."""

    id: str
    what: str
    unit: str
    better: Literal["more", "less"]
    goal: float | None = None
    over_best: float | None = None
    """When given, the goal is this many times the best of the alternatives measured in the same run."""


ROWS = (
    Row("hop.sqlite", "durable hops of one pod over SQLite", "hops/s", "more", 3000),
    Row("hop.sqlite.cpu.sidecar", "CPU time of the sidecar for one of them", "µs", "less"),
    Row("hop.sqlite.cpu.runtime", "CPU time of the runtime for one of them", "µs", "less"),
    Row("hop.rabbitmq", "durable, confirmed hops of one pod over RabbitMQ", "hops/s", "more", over_best=1.5),
    Row("hop.rabbitmq.cpu", "CPU time of the whole worker for one of them", "µs", "less"),
    Row("hop.rabbitmq.cpu.sidecar", "of this the sidecar", "µs", "less"),
    Row("hop.rabbitmq.cpu.runtime", "of this the runtime", "µs", "less"),
    Row("call.pipelined", "call of the handler, 100 under way", "µs", "less", 15),
    Row("call.sequential", "call of the handler, one after another", "µs", "less", 45),
    Row("start.sidecar", "exec of the sidecar to the handler's first call", "ms", "less", 300),
    Row("memory.sidecar", "resident memory of the sidecar after 10,000 hops and more", "MiB", "less", 32),
)


@dataclass
class Samples:
    """Figures of every round, by row and then by name: `asya`, or an alternative's."""

    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, row: str, value: float, name: str = "asya") -> None:
        """Note one round's figure."""
        self.values.setdefault(row, {}).setdefault(name, []).append(value)

    def has(self, row: str) -> bool:
        """Whether we have a figure of our own."""
        return bool(self.values.get(row, {}).get("asya"))


def results(samples: Samples) -> dict[str, dict[str, Any]]:
    """Return ``{row id: {value, unit, goal, met, spread, against}}``; value: median, spread: [least, greatest]."""
    found = {}
    for row in ROWS:
        if not samples.has(row.id):
            continue
        by_name = samples.values[row.id]
        ours = by_name["asya"]
        against = {name: statistics.median(values) for name, values in by_name.items() if name != "asya"}
        value = statistics.median(ours)
        goal = _goal(row, against)
        found[row.id] = {
            "value": _rounded(value),
            "unit": row.unit,
            "goal": None if goal is None else _rounded(goal),
            "met": None if goal is None else (value >= goal if row.better == "more" else value <= goal),
            "spread": [_rounded(min(ours)), _rounded(max(ours))],
            "against": {name: _rounded(figure) for name, figure in against.items()},
        }
    return found


def _goal(row: Row, against: Mapping[str, float]) -> float | None:
    if row.over_best is None:
        return row.goal
    return row.over_best * max(against.values()) if against else None


def _rounded(value: float) -> float:
    """Three significant digits say all that such a measurement knows; whole numbers from 100 on."""
    return round(value) if abs(value) >= 100 else round(value, 2 if abs(value) < 10 else 1)


def select(wanted: Sequence[str]) -> set[str]:
    """Return the kinds of rows that prefixes name, all when none is given.

    Raises:
        ValueError: A prefix fits no row.
    """
    kinds = {".".join(row.id.split(".")[:2]) for row in ROWS}
    unknown = [prefix for prefix in wanted if not any(kind.startswith(prefix) for kind in kinds)]
    if unknown:
        raise ValueError(f"no row begins with {', '.join(unknown)}; there are {', '.join(sorted(kinds))}")
    return {kind for kind in kinds if not wanted or any(kind.startswith(prefix) for prefix in wanted)}
