"""Charts as inline SVG: the way of each message over time, and replicas over time. Pure: data in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from demonstration.recording import Hop, Sample, Trace

# One colour per actor in the order of the mesh; told apart also by people who see red and green alike.
PALETTE = ("#64748b", "#2f6fdb", "#e0912f", "#8457d8", "#0f9d8f", "#cf4b8f", "#6a9a1f")
FAILED = "#d23b3b"
WIDTH, LEFT, RIGHT = 1000, 104, 118
ROW, BAR = 26, 14
TOP, FOOT = 6, 26


def colours(actors: Sequence[str]) -> dict[str, str]:
    """Give each actor its colour."""
    return {actor: PALETTE[index % len(PALETTE)] for index, actor in enumerate(actors)}


def timeline(rows: Sequence[tuple[str, Trace]], actors: Sequence[str]) -> str:
    """Draw one row per message: a bar per attempt in its actor's colour, red where it raised, a line for waiting."""
    paint = colours(actors)
    hops = [hop for _, trace in rows for hop in trace.hops if hop.actor in paint]
    start = min(hop.started for hop in hops)
    axis = _Axis(start, max(hop.ended for hop in hops))
    parts = [axis.grid(len(rows))]
    for index, (name, trace) in enumerate(rows):
        middle = TOP + index * ROW + ROW / 2
        parts.append(_text(LEFT - 10, middle, name, "end"))
        shown = [hop for hop in trace.hops if hop.actor in paint]
        first, last = axis.x(shown[0].started), axis.x(shown[-1].ended)
        parts.append(f'<line class="wait" x1="{first:.1f}" x2="{last:.1f}" y1="{middle}" y2="{middle}"/>')
        parts.extend(_bar(hop, axis, middle, paint[hop.actor], start) for hop in shown)
        parts.append(_text(last + 8, middle, f"{shown[-1].ended - start:.1f} s", "start", "note"))
    return _svg(len(rows), parts, "Every message over time")


def replicas(samples: Sequence[Sample], actors: Sequence[str]) -> str:
    """Draw one row per actor: the number of its replicas as an area, and its backlog as a thin line."""
    axis = _Axis(samples[0].at, samples[-1].at)
    paint = colours(actors)
    most = max((sample.replicas.get(actor, 0) for sample in samples for actor in actors), default=0)
    parts = [axis.grid(len(actors))]
    for index, actor in enumerate(actors):
        bottom = TOP + (index + 1) * ROW - 2
        counts = [sample.replicas.get(actor, 0) for sample in samples]
        waiting = [sample.backlog.get(actor, 0) for sample in samples]
        parts.append(_text(LEFT - 10, bottom - ROW / 2 + 2, actor, "end"))
        xs = [axis.x(sample.at) for sample in samples]
        area = _steps(xs, counts, bottom, (ROW - 5) / max(most, 1))
        parts.append(f'<path d="{area} V{bottom} H{xs[0]:.1f} Z" fill="{paint[actor]}" fill-opacity=".8"/>')
        if max(waiting):
            line = _steps(xs, waiting, bottom, (ROW - 5) / max(waiting))
            parts.append(f'<path class="backlog" d="{line}"/>')
        parts.append(f'<line class="base" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>')
        told = f"{counts[0]} → {max(counts)} → {counts[-1]}"
        parts.append(_text(WIDTH - RIGHT + 10, bottom - ROW / 2 + 2, told, "start", "note"))
    return _svg(len(actors), parts, "Replicas of every actor over time")


class _Axis:
    """Time from left to right, from `start` to `end`."""

    def __init__(self, start: float, end: float) -> None:
        self._start = start
        self._length = max(end - start, 0.001)

    def x(self, at: float) -> float:
        return LEFT + (at - self._start) / self._length * (WIDTH - LEFT - RIGHT)

    def grid(self, rows: int) -> str:
        """Draw a line for every round second, about eight of them."""
        step = next((size for size in (0.1, 0.5, 1, 2, 5, 10, 20, 60) if self._length / size <= 10), 120)
        bottom = TOP + rows * ROW
        lines = []
        for index in range(int(self._length / step) + 1):
            x = self.x(self._start + index * step)
            lines.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>')
            lines.append(_text(x, bottom + 14, f"{index * step:g} s", "middle", "tick"))
        return "".join(lines)


def _bar(hop: Hop, axis: _Axis, middle: float, colour: str, start: float) -> str:
    begin, end = axis.x(hop.started), axis.x(hop.ended)
    told = (
        f"{hop.actor}, attempt {hop.attempt}: {hop.seconds * 1000:.0f} ms, at {hop.started - start:.2f} s {hop.error}"
    )
    # Short calls would be too thin to be seen.
    width = max(end - begin, 3)
    shape = f'x="{begin:.1f}" y="{middle - BAR / 2}" width="{width:.1f}" height="{BAR}" rx="2"'
    return f'<rect {shape} fill="{FAILED if hop.failed else colour}"><title>{escape(told)}</title></rect>'


def _steps(xs: Sequence[float], values: Sequence[int], bottom: float, scale: float) -> str:
    path = [f"M{xs[0]:.1f} {bottom - values[0] * scale:.1f}"]
    path += [f"H{x:.1f} V{bottom - value * scale:.1f}" for x, value in zip(xs[1:], values[1:], strict=True)]
    return " ".join(path)


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" dy=".35em" text-anchor="{anchor}"{style}>{escape(text)}</text>'


def _svg(rows: int, parts: Sequence[str], label: str) -> str:
    height = TOP + rows * ROW + FOOT
    head = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">'
    return head + "".join(parts) + "</svg>"
