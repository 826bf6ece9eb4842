"""How results look in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from tests.torture.model import Result

HEAD = ("row", "where", "sent", "delivered", "duplicated", "lost", "called twice", "failures", "s", "")


def line(result: Result) -> str:
    """One row on one line, for progress."""
    if result.skipped:
        return f"{result.row:34} {_where(result):18} skipped: {result.note}"
    return (
        f"{result.row:34} {_where(result):18} {result.delivered} of {result.sent}, {result.duplicated} twice "
        f"(≤ {result.bound}), {result.lost} lost, {result.seconds:.1f} s  {'ok' if result.ok else 'FAILED'}"
    )


def table(results: Sequence[Result]) -> str:
    """All rows, in columns."""
    cells = [HEAD, *map(_cells, results)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEAD))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def _cells(result: Result) -> tuple[str, ...]:
    called = str(result.called_twice) + (f" ≤ {result.call_bound}" if result.call_bound is not None else "")
    return (
        result.row, _where(result), str(result.sent), str(result.delivered), f"{result.duplicated} ≤ {result.bound}",
        str(result.lost), called, str(result.failures), f"{result.seconds:.1f}",
        "ok" if result.ok else "skipped" if result.skipped else "FAILED",
    )  # fmt: skip


def _where(result: Result) -> str:
    return result.transport + (f" {result.engine}" if result.engine else "")
