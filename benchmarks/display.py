"""What people see: progress while it runs, the table at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.rows import ROWS


class Display:
    """Progress of the whole run and of the step under way; one line per step where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            refresh_per_second=2,  # drawing takes a processor that is measured
            disable=not console.is_terminal,
        )
        self._weights = 0.0
        self._done = 0.0
        self._begun = time.monotonic()
        self._all: TaskID = self._progress.add_task("whole run", total=None)
        self._now: TaskID = self._progress.add_task("", total=100)

    @contextmanager
    def running(self, weights: float) -> Iterator[None]:
        """Show it while the block carries out steps that together are expected to take `weights` seconds."""
        self._weights, self._begun = weights, time.monotonic()
        self._progress.update(self._all, total=round(weights))
        with self._progress:
            yield

    def begin(self, text: str) -> None:
        """A step begins."""
        self._progress.update(self._now, description=text, completed=0)

    def part(self, part: float) -> None:
        """The step under way is this far (0..1)."""
        self._progress.update(self._now, completed=round(part * 100))

    def end(self, text: str, weight: float) -> None:
        """The step is over; `text` is its figure, `weight` the seconds that it was expected to take."""
        self._done += weight
        self._progress.update(self._all, completed=round(self._done))
        spent = time.monotonic() - self._begun
        left = spent * (self._weights - self._done) / self._done
        self._console.print(f"[dim]{self._done / self._weights:>4.0%}, {left:>4.0f} s left[/]  {text}", highlight=False)


def markdown(results: Mapping[str, Mapping[str, Any]], note: str) -> str:
    """Return the table of `results` for a page."""
    lines = ["| row | value | spread | goal | met | beside it (ratio) |", "|---|---|---|---|---|---|"]
    for row in ROWS:
        if (found := results.get(row.id)) is not None:
            met = {None: "", True: "yes", False: "**no**"}[found["met"]]
            value, spread, goal, beside = cells(found)
            lines.append(f"| `{row.id}` | {value} | {spread} | {goal} | {met} | {beside} |")
    return "\n".join([*lines, "", note])


def table(results: Mapping[str, Mapping[str, Any]], note: str) -> Table:
    """Return the table of `results`."""
    shown = Table(title="asya bench", caption=note, title_justify="left", caption_justify="left", show_lines=True)
    for name, justify in (
        ("row", "left"), ("what", "left"), ("value", "right"), ("spread", "right"), ("goal: measured", "left"),
        ("met", "left"), ("beside it (ratio)", "left"),
    ):  # fmt: skip
        shown.add_column(name, justify=justify, overflow="fold", no_wrap=name in ("row", "value"))  # type: ignore[arg-type]  # a literal type of rich's
    for row in ROWS:
        if (found := results.get(row.id)) is not None:
            met = {None: "", True: "[green]yes[/]", False: "[red]no[/]"}[found["met"]]
            value, spread, goal, beside = cells(found)
            shown.add_row(row.id, row.what, f"[bold]{value}[/]", spread, goal, met, beside)
    return shown


def cells(found: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Value, spread, goals with what was measured for each, and the others with the ratio of ours to theirs."""
    goals = []
    for goal in found["goals"]:
        # Where the figure itself is judged, it stands in the value's column already.
        ratio = "×" in goal["goal"].split("(")[0] or goal["goal"].startswith("below")
        told = "" if not ratio else f": {'not measured' if goal['value'] is None else format(goal['value'], ',')}"
        mark = {None: "", True: "", False: " ✗"}[goal["met"]]
        goals.append(f"{goal['goal']}{told}{mark}")
    beside = [
        f"{name} {figure['value']:,}" + (f" ({found['ratio'][name]:,})" if name in found["ratio"] else "")
        for name, figure in found["against"].items()
    ]
    least, greatest = found["spread"]
    return (
        f"{found['value']:,} {found['unit']}".strip(),
        f"{least:,} – {greatest:,}",
        "; ".join(goals),
        ", ".join(beside),
    )
