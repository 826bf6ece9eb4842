"""What was read for what: a confusion matrix, and the pictures that were read wrongly."""

from __future__ import annotations

from collections.abc import Sequence

from demonstration.digits import Mistake

SIDE = 8
BRIGHTEST = 16


def confusion(counts: Sequence[Sequence[int]]) -> str:
    """Return a table; `counts[label][answer]` is how many pictures of `label` were read as `answer`."""
    head = "<tr><th></th>" + "".join(f"<th>{answer}</th>" for answer in range(len(counts))) + "</tr>"
    rows = [
        f"<tr><th>{label}</th>"
        + "".join(_cell(count, count / max(sum(row), 1), is_right=label == answer) for answer, count in enumerate(row))
        + "</tr>"
        for label, row in enumerate(counts)
    ]
    return f'<table class="confusion">{head}{"".join(rows)}</table>'


def mistake(found: Mistake) -> str:
    """Return a picture that was read wrongly, with both digits."""
    squares = "".join(_square(index, value) for index, value in enumerate(found.pixels) if value)
    picture = f'<svg viewBox="0 0 {SIDE} {SIDE}" fill="#fff" role="img" aria-label="a {found.label}">{squares}</svg>'
    return f"<li>{picture}{found.label} → <b>{found.answer}</b></li>"


def _square(index: int, value: int) -> str:
    # A little wider than one, or thin lines show between neighbours.
    place = f'x="{index % SIDE}" y="{index // SIDE}" width="1.02" height="1.02"'
    return f'<rect {place} fill-opacity="{value / BRIGHTEST:.2f}"/>'


def _cell(count: int, share: float, *, is_right: bool) -> str:
    if not count:
        return '<td class="none"></td>'
    if is_right:
        return f'<td style="background:rgb(22 121 76 / {share:.2f});color:#fff">{count}</td>'
    return f'<td style="background:rgb(195 47 47 / {0.25 + share:.2f})">{count}</td>'
