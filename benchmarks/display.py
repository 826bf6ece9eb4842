"""What people see: progress while it runs, the table at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.rows import ROWS


class Display:
    """Progress of the whole run and of the round under way; one line per round where there is no terminal."""

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
            disable=not console.is_terminal,
        )
        self._steps = self._done = 0
        self._all: TaskID = self._progress.add_task("all rounds", total=None)
        self._now: TaskID = self._progress.add_task("", total=100)

    @contextmanager
    def running(self, steps: int) -> Iterator[None]:
        """Show it while the block carries out `steps` rounds of something."""
        self._steps = steps
        self._progress.update(self._all, total=steps)
        with self._progress:
            yield

    def begin(self, text: str) -> None:
        """A round of something begins."""
        self._progress.update(self._now, description=text, completed=0)

    def part(self, part: float) -> None:
        """The round under way is this far (0..1)."""
        self._progress.update(self._now, completed=round(part * 100))

    def end(self, text: str) -> None:
        """The round is over; `text` is its figure."""
        self._done += 1
        self._progress.update(self._all, completed=self._done)
        self._console.print(f"[dim]{self._done:>3}/{self._steps}[/] {text}", highlight=False)


def markdown(results: Mapping[str, Mapping[str, Any]], note: str) -> str:
    """Return the table of `results` for a page."""
    lines = ["| row | value | spread | goal | met | beside it |", "|---|---|---|---|---|---|"]
    for row in ROWS:
        if (found := results.get(row.id)) is None:
            continue
        least, greatest = found["spread"]
        goal = "" if found["goal"] is None else f"{'≥' if row.better == 'more' else '≤'} {found['goal']:,}"
        met = {None: "", True: "yes", False: "**no**"}[found["met"]]
        beside = ", ".join(f"{name} {figure:,}" for name, figure in found["against"].items())
        lines.append(
            f"| `{row.id}` | {found['value']:,} {row.unit} | {least:,} … {greatest:,} | {goal} | {met} | {beside} |"
        )
    return "\n".join([*lines, "", note])


def table(results: Mapping[str, Mapping[str, Any]], note: str) -> Table:
    """Return the table of `results`."""
    shown = Table(title="asya bench", caption=note, title_justify="left", caption_justify="left")
    for name, justify in (
        ("row", "left"), ("what", "left"), ("value", "right"), ("spread", "right"), ("goal", "right"),
        ("met", "left"), ("beside it", "left"),
    ):  # fmt: skip
        shown.add_column(name, justify=justify, overflow="fold", no_wrap=name in ("row", "value"))  # type: ignore[arg-type]  # a literal type of rich's
    for row in ROWS:
        if (found := results.get(row.id)) is None:
            continue
        least, greatest = found["spread"]
        sign = "≥" if row.better == "more" else "≤"
        shown.add_row(
            row.id,
            row.what,
            f"[bold]{found['value']:,}[/] {row.unit}",
            f"{least:,} … {greatest:,}",
            "" if found["goal"] is None else f"{sign} {found['goal']:,}",
            {None: "", True: "[green]yes[/]", False: "[red]no[/]"}[found["met"]],
            ", ".join(f"{name} {figure:,}" for name, figure in found["against"].items()),
        )
    return shown
