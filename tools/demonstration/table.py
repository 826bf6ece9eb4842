"""HTML tables of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def table(
    titles: Sequence[str], rows: Sequence[Sequence[object]], *, numbers_from: int = 99, marked: Iterable[int] = ()
) -> str:
    """Return a table; columns from `numbers_from` on are set to the right, rows with the indexes in `marked` in red."""
    red = set(marked)
    head = "".join(_cell("th", title, column >= numbers_from) for column, title in enumerate(titles))
    lines = [
        f"<tr{' class=failed' if index in red else ''}>"
        + "".join(_cell("td", str(value), column >= numbers_from) for column, value in enumerate(row))
        + "</tr>"
        for index, row in enumerate(rows)
    ]
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _cell(tag: str, text: str, right: bool) -> str:  # noqa: FBT001  a cell has two looks
    return f"<{tag}{' class=n' if right else ''}>{escape(text)}</{tag}>"
