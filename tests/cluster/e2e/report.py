"""What the tests found out: results.json and report.html, with the timeline drawn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path

WIDTH, HEIGHT, MARGIN = 900, 150, 46
LINES = {"replicas": "#3b7dd8", "ready": "#2a9d6f", "messages": "#e0a030"}
INK, FAINT = "#1d2733", "#dfe5ea"
STYLE = "body{font:15px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1d2733}"
STYLE += "table{border-collapse:collapse}td,th{padding:.2rem .8rem;border-bottom:1px solid #dfe5ea;text-align:left}"


@dataclass
class Sample:
    """One moment of the timeline. `at`: seconds since the first message was sent."""

    at: float
    replicas: int
    ready: int
    messages: int


@dataclass
class Failure:
    """Messages counted while something broke. `seconds`: from the break until the last one was kept."""

    row: str
    sent: int
    delivered: int
    duplicated: int
    lost: int
    seconds: float


@dataclass
class Report:
    """Filled in by the tests."""

    ready_s: dict[str, float] = field(default_factory=dict)
    first_message_s: float | None = None
    timeline: list[Sample] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)
    """What happened on the timeline, and when."""
    failures: list[Failure] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)
    """What people are told about a wrong manifest, by its name."""
    parts: dict[str, float] = field(default_factory=dict)
    """Seconds that each part before the tests took."""

    def write(self, folder: Path, outcomes: Sequence[tuple[str, str, float]]) -> None:
        """Write both files; `outcomes` are the tests: name, outcome, seconds."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(json.dumps(asdict(self), indent=1) + "\n")
        if self.timeline:
            (folder / "timeline.svg").write_text(draw(self.timeline, self.events))
        (folder / "report.html").write_text(self._html(outcomes))

    def _html(self, outcomes: Sequence[tuple[str, str, float]]) -> str:
        counts = [list(asdict(each).values()) for each in self.failures]
        first = "not measured" if self.first_message_s is None else f"{self.first_message_s:.1f} s"
        parts = [
            f"<!doctype html><meta charset=utf-8><title>On a real cluster</title><style>{STYLE}</style>",
            "<h1>On a real cluster</h1>",
            "<h2>From apply to Ready</h2>",
            table(("actor", "seconds"), [(name, f"{seconds:.0f}") for name, seconds in self.ready_s.items()]),
            f"<h2>From no pod to the first message handled: {first}</h2>",
            draw(self.timeline, self.events) if self.timeline else "<p>No timeline was recorded.</p>",
            "<h2>What broke while messages flowed</h2>",
            table(("what", "sent", "delivered", "duplicated", "lost", "seconds until all were there"), counts),
            "<h2>What people are told</h2>",
            table(("manifest", "message"), list(self.said.items())),
            "<h2>Before the tests</h2>",
            table(("part", "seconds"), [(name, f"{seconds:.1f}") for name, seconds in self.parts.items()]),
            "<h2>Tests</h2>",
            table(("test", "outcome", "seconds"), [(name, how, f"{seconds:.1f}") for name, how, seconds in outcomes]),
        ]
        return "\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return an HTML table."""
    first = "".join(f"<th>{escape(each)}" for each in head)
    return (
        f"<table><tr>{first}" + "".join(f"<tr>{''.join(f'<td>{escape(str(c))}' for c in r)}" for r in rows) + "</table>"
    )


def draw(samples: Sequence[Sample], events: Sequence[tuple[float, str]]) -> str:
    """Return an SVG: messages above, replicas below, over the same seconds."""
    end = max(samples[-1].at, 1.0)
    heights = {"messages": 0, "replicas": HEIGHT + MARGIN, "ready": HEIGHT + MARGIN}
    most = {"messages": max(each.messages for each in samples)}
    most["replicas"] = most["ready"] = max(each.replicas for each in samples)

    def x(at: float) -> float:
        return MARGIN + at / end * WIDTH

    total = 2 * (HEIGHT + MARGIN) + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + 2 * MARGIN} {total}" '
        f'font-family="system-ui" font-size="12" fill="{INK}">'
    )
    parts = [head]
    for at, what in events:
        parts.append(f'<line x1="{x(at):.1f}" x2="{x(at):.1f}" y1="14" y2="{total - MARGIN}" stroke="{FAINT}"/>')
        parts.append(f'<text transform="translate({x(at) + 3:.1f} 14) rotate(90)">{escape(what)} {at:.1f} s</text>')
    for name, colour in LINES.items():
        top, high = MARGIN / 2 + heights[name], max(most[name], 1)
        points = [(x(each.at), top + HEIGHT * (1 - getattr(each, name) / high)) for each in samples]
        steps = [f"M{points[0][0]:.1f},{points[0][1]:.1f}", *(f"H{a:.1f}V{b:.1f}" for a, b in points[1:])]
        parts.append(f'<path d="{"".join(steps)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        below = top + HEIGHT + (14 if name != "ready" else 28)
        parts.append(f'<text x="{MARGIN}" y="{below:.0f}" fill="{colour}">{name}, at most {most[name]}</text>')
    parts.append(f'<text x="{WIDTH + MARGIN}" y="{total - 6}" text-anchor="end">{end:.0f} s</text></svg>')
    return "\n".join(parts)
