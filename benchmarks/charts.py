"""Pictures as SVG text: bars with their spread, and curves. Pure: data in, text out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

OURS_COLOUR = "#2f6fdb"
COLOURS = ("#2f6fdb", "#64748b", "#e0912f", "#0f9d8f", "#8457d8", "#cf4b8f", "#6a9a1f")
_WIDTH, _LEFT, _RIGHT = 760, 120, 150
_ROW, _BAR = 30, 18
_STYLE = """<style>
text{font:13px system-ui,sans-serif;fill:#1f2937}
.note{fill:#6b7280;font-size:12px}.title{font-weight:600;font-size:15px}
.grid{stroke:#e5e7eb}.spread{stroke:#111827;stroke-width:1.2}
</style>"""

Bar = tuple[str, float, float, float]
"""Name, value, least, greatest."""


def bars(title: str, unit: str, values: Sequence[Bar], *, ours: str) -> str:
    """Draw one bar per name with a line from its least to its greatest value."""
    most = max(greatest for _, _, _, greatest in values) or 1
    room = _WIDTH - _LEFT - _RIGHT
    height = 44 + len(values) * _ROW + 14
    parts = [f'<text class="title" x="12" y="22">{escape(title)}</text>']
    for index, (name, value, least, greatest) in enumerate(values):
        middle = 44 + index * _ROW + _ROW / 2
        colour = OURS_COLOUR if name == ours else "#9aa5b5"
        width = max(1.0, value / most * room)
        parts.append(_text(_LEFT - 10, middle, name, "end"))
        shape = f'x="{_LEFT}" y="{middle - _BAR / 2:.1f}" width="{width:.1f}" height="{_BAR}"'
        parts.append(f'<rect {shape} rx="2" fill="{colour}"/>')
        if greatest > least:
            low, high = _LEFT + least / most * room, _LEFT + greatest / most * room
            parts.append(f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>')
        end = _LEFT + max(width, greatest / most * room) + 8
        parts.append(_text(end, middle, f"{_number(value)} {unit}", "start"))
    return _svg(height, parts, title)


def lines(
    title: str, axis: str, unit: str, series: Mapping[str, Sequence[Sequence[float]]], *, logarithmic: bool
) -> str:
    """Draw one line per name through its points; the upward axis begins at zero."""
    height, top, bottom = 326, 52, 274
    xs = sorted({point[0] for points in series.values() for point in points})
    most = _round_up(max(point[1] for points in series.values() for point in points))
    room = _WIDTH - _LEFT - _RIGHT

    def x(value: float) -> float:
        low, high = (math.log(max(xs[0], 1e-9)), math.log(xs[-1])) if logarithmic else (xs[0], xs[-1])
        at = math.log(value) if logarithmic else value
        return _LEFT + (at - low) / ((high - low) or 1) * room

    def y(value: float) -> float:
        return bottom - value / most * (bottom - top)

    parts = [f'<text class="title" x="12" y="22">{escape(title)}</text>']
    for step in range(5):
        level = most * step / 4
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(level):.1f}" y2="{y(level):.1f}"/>'
        )
        parts.append(_text(_LEFT - 8, y(level), f"{_number(level)}", "end", "note"))
    shown = xs if len(xs) <= 8 else [xs[0], xs[len(xs) // 2], xs[-1]]
    parts += [_text(x(value), bottom + 18, _number(value), "middle", "note") for value in shown]
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, bottom + 40, axis, "middle", "note"))
    parts.append(_text(_LEFT + 4, top - 6, unit, "start", "note"))
    for index, (name, points) in enumerate(series.items()):
        colour = COLOURS[index % len(COLOURS)]
        path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(points) <= 12:
            parts += [f'<circle cx="{x(at):.1f}" cy="{y(value):.1f}" r="3.5" fill="{colour}"/>' for at, value in points]
        at, value = points[-1]
        parts.append(_text(x(at) + 10, y(value), f"{name} {_number(value)}", "start"))
    return _svg(height, parts, title)


def _round_up(value: float) -> float:
    if value <= 0:
        return 1.0
    unit = 10 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 2, 4, 6, 8, 10) if step * unit >= value)


def _number(value: float) -> str:
    if value >= 2**20 and value % 2**20 == 0:
        return f"{value / 2**20:g} Mi"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" dy=".35em" text-anchor="{anchor}"{style}>{escape(text)}</text>'


def _svg(height: float, parts: Sequence[str], label: str) -> str:
    size = f'viewBox="0 0 {_WIDTH} {height:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(label)}">'
    return head + _STYLE + "".join(parts) + "</svg>\n"
