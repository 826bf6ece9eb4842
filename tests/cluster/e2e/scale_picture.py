"""Figures over the number of actors, as small pictures side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cluster.e2e.scale import Step

WIDTH, HEIGHT, MARGIN = 260, 160, 46
INK, FAINT, COLOUR = "#1d2733", "#dfe5ea", "#3b7dd8"
PANELS: dict[str, Callable[[Step], float]] = {
    "seconds until the new ones are Ready": lambda step: step.ready_s,
    "Crossplane: memory in MiB": lambda step: step.memory_mib["crossplane"],
    "function: memory in MiB": lambda step: step.memory_mib["function"],
    "function: millicores at rest": lambda step: step.rest_cpu_millicores["function"],
    "requests per actor and hour at rest": lambda step: step.requests_per_actor_per_hour,
}


def draw(steps: Sequence[Step]) -> str:
    """Return an SVG."""
    across = len(PANELS) * (WIDTH + MARGIN) + MARGIN
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {across} {HEIGHT + 2 * MARGIN}" '
    parts = [f'{head}font-family="system-ui" font-size="12" fill="{INK}">']
    for number, (title, value) in enumerate(PANELS.items()):
        parts += _panel(MARGIN + number * (WIDTH + MARGIN), title, [(step.actors, value(step)) for step in steps])
    return "\n".join([*parts, "</svg>"])


def _panel(left: float, title: str, points: Sequence[tuple[int, float]]) -> list[str]:
    most_x, most_y = max(x for x, _ in points), max(*(y for _, y in points), 1e-9)
    bottom = MARGIN + HEIGHT
    places = [(left + x / most_x * (WIDTH - MARGIN), bottom - y / most_y * HEIGHT) for x, y in points]
    found = [
        f'<text x="{left:.0f}" y="{MARGIN - 16}">{title}</text>',
        f'<path d="M{left:.0f},{MARGIN}V{bottom}H{left + WIDTH - MARGIN:.0f}" fill="none" stroke="{FAINT}"/>',
        f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}" fill="none" stroke="{COLOUR}"/>',
    ]
    for (x, y), (actors, value) in zip(places, points, strict=True):
        found.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOUR}"/>')
        found.append(f'<text x="{x:.1f}" y="{y - 7:.1f}" text-anchor="middle">{value:g}</text>')
        found.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{actors}</text>')
    return found
