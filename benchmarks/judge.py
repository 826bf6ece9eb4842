"""How rounds become one figure, its ratios, and a verdict. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.kinds import OURS
from benchmarks.rows import BY_ID, ROWS, Goal, Row

Rounds = dict[int, float]


@dataclass
class Samples:
    """Figures by row, then by name of who was measured, then by number of the round."""

    values: dict[str, dict[str, Rounds]] = field(default_factory=dict)

    def add(self, row: str, number: int, value: float, name: str = OURS) -> None:
        """Note one round's figure."""
        self.values.setdefault(row, {}).setdefault(name, {})[number] = value

    def has(self, row: str) -> bool:
        """Whether we have a figure of our own."""
        return bool(self.values.get(row, {}).get(OURS))


def results(samples: Samples) -> dict[str, dict[str, Any]]:
    """Return what stands in results.json: by row id its value and everything that judges it.

    ``{value, unit, better, spread: [least, greatest], rounds, goal: text | None, met: bool | None,
    goals: [{goal, value, met}], ratio: {name: ours / theirs}, against: {name: {value, spread}}}``. A value is the
    median of the rounds, a ratio the median of the rounds' own ratios. `met` says that all goals are met, and those of
    the rows that belong to it.
    """
    found = {row.id: _row(row, samples) for row in ROWS if samples.has(row.id)}
    for row in ROWS:
        if row.id in found and row.also:
            own = found[row.id]
            own["also"] = [part for part in row.also if part in found]
            verdicts = [own["met"], *(found[part]["met"] for part in own["also"])]
            own["met"] = None if None in verdicts else all(verdicts)
    return found


def _row(row: Row, samples: Samples) -> dict[str, Any]:
    by_name = samples.values[row.id]
    ours = by_name[OURS]
    others = {name: rounds for name, rounds in by_name.items() if name != OURS}
    goals = [_judged(row, goal, ours, others) for goal in row.goals]
    verdicts = [goal["met"] for goal in goals]
    return {
        "value": rounded(statistics.median(ours.values())),
        "unit": row.unit,
        "better": row.better,
        "spread": _spread(ours),
        "rounds": len(ours),
        "goal": " and ".join(goal["goal"] for goal in goals) or None,
        "goals": goals,
        "met": None if not verdicts or None in verdicts else all(verdicts),
        "ratio": {name: rounded(ratio) for name in others if (ratio := _ratio(row, ours, others, (name,))) is not None},
        "against": {
            name: {"value": rounded(statistics.median(rounds.values())), "spread": _spread(rounds)}
            for name, rounds in others.items()
        },
    }


def _judged(row: Row, goal: Goal, ours: Rounds, others: Mapping[str, Rounds]) -> dict[str, Any]:
    sign = "≥" if row.better == "more" else "≤"
    if not goal.of:
        value: float | None = statistics.median(ours.values())
        text = f"{sign} {goal.bound:,g} {row.unit}".rstrip() + (f" ({goal.said})" if goal.said else "")
    else:
        # Judged only when all that the goal speaks of were measured.
        complete = all(name in others for name in goal.of)
        value = _ratio(row, ours, others, goal.of) if complete else None
        who = goal.said or ", ".join(goal.of)
        text = f"{sign} {goal.bound:,g} × {who}" if goal.bound != 1 else f"below {who}"
    if value is None:
        return {"goal": text, "value": None, "met": None}
    met = value >= goal.bound if row.better == "more" else value <= goal.bound
    return {"goal": text, "value": rounded(value), "met": bool(met)}


def _ratio(row: Row, ours: Rounds, others: Mapping[str, Rounds], names: tuple[str, ...]) -> float | None:
    """Ours to the best of the others, round by round, then the median: so the machine's drift falls out."""
    best = max if row.better == "more" else min
    found = []
    for number, value in ours.items():
        theirs = [others[name][number] for name in names if name in others and number in others[name]]
        if theirs and best(theirs):
            found.append(value / best(theirs))
    return statistics.median(found) if found else None


def _spread(rounds: Rounds) -> list[float]:
    return [rounded(min(rounds.values())), rounded(max(rounds.values()))]


def rounded(value: float) -> float:
    """Three significant digits say all that such a measurement knows; whole numbers from 100 on."""
    return round(value) if abs(value) >= 100 else round(value, 2 if abs(value) < 10 else 1)


def row_of(row_id: str) -> Row:
    """Return a row by its id."""
    return BY_ID[row_id]
