"""What the terminal shows while the demonstration runs: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import rich.progress
from rich.console import Console


class Bar:
    """One line of progress."""

    def __init__(self, progress: rich.progress.Progress, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=None)

    def show(self, done: int, total: int) -> None:
        """Say that `done` of `total` messages have ended."""
        self._progress.update(self._task, completed=done, total=total)


class Progress:
    """Everything that is printed."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    def say(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def bar(self, title: str) -> Iterator[Bar]:
        """Show a bar until the context ends."""
        columns = (
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeElapsedColumn(),
        )
        with rich.progress.Progress(*columns, console=self._console) as progress:
            yield Bar(progress, title)
