"""Draw a trace as a waterfall: `waterfall.py SPANS.jsonl PICTURE.svg [TRACE]`.

Reads what the OpenTelemetry Collector's file exporter writes: OTLP in JSON, one export a line. Without TRACE, the trace
that has the most spans is drawn.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

ROW, INDENT, LABELS, BARS, MARGIN = 18, 12, 380, 760, 16
HEAD = 4
"""Rows above the first span: title, legend, axis."""
COLOURS = {
    "create": "#7c6f9c", "receive": "#b8c4ce", "process": "#3b7dd8", "call": "#2a9d6f", "send": "#e0a030",
    "settle": "#8a94a0",
}  # fmt: skip
OTHER, FAILED, INK, FAINT = "#9aa7b4", "#d1495b", "#1d2733", "#dfe5ea"


@dataclass
class Node:
    """A span and what it caused. Times are Unix nanoseconds."""

    id: str
    parent: str
    name: str
    start: int
    end: int
    failed: bool
    links: int
    note: str
    below: list[Node] = field(default_factory=list)

    @property
    def operation(self) -> str:
        """The first word of the name."""
        return self.name.partition(" ")[0]


def main() -> int:
    """Draw; return the exit code."""
    if len(sys.argv) not in (3, 4):
        sys.stderr.write(f"{__doc__}")
        return 2
    traces = read(Path(sys.argv[1]))
    if not traces:
        sys.stderr.write("no spans in this file\n")
        return 1
    chosen = (
        sys.argv[3]
        if len(sys.argv) > 3
        else Counter({key: len(nodes) for key, nodes in traces.items()}).most_common(1)[0][0]
    )
    target = Path(sys.argv[2])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(draw(chosen, traces[chosen]), encoding="utf-8")
    print(f"{target}: {len(traces[chosen])} spans of trace {chosen}")
    return 0


def read(path: Path) -> dict[str, list[Node]]:
    """Return the spans of each trace."""
    traces: dict[str, list[Node]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        for resource in json.loads(line).get("resourceSpans", []):
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    traces.setdefault(span["traceId"], []).append(_node(span))
    return traces


def _node(span: dict[str, Any]) -> Node:
    said = {each["key"]: next(iter(each["value"].values())) for each in span.get("attributes", [])}
    notes = [said[name] for name in ("asya.outcome", "error.type", "asya.message_type") if name in said]
    attempt = said.get("asya.attempt")
    if attempt is not None and int(attempt) > 1:
        notes.append(f"attempt {attempt}")
    return Node(
        id=span["spanId"],
        parent=span.get("parentSpanId", ""),
        name=span["name"],
        start=int(span["startTimeUnixNano"]),
        end=int(span["endTimeUnixNano"]),
        failed=span.get("status", {}).get("code") == 2,
        links=len(span.get("links", [])),
        note=" · ".join(notes),
    )


def rows(nodes: list[Node]) -> list[tuple[int, Node]]:
    """Return the tree in the order of drawing, with its depth."""
    by_id = {node.id: node for node in nodes}
    roots: list[Node] = []
    for node in sorted(nodes, key=lambda each: (each.start, each.end)):
        parent = by_id.get(node.parent)
        (roots if parent is None else parent.below).append(node)
    found: list[tuple[int, Node]] = []
    open_nodes = [(0, node) for node in reversed(roots)]
    while open_nodes:
        depth, node = open_nodes.pop()
        found.append((depth, node))
        open_nodes += [(depth + 1, each) for each in reversed(node.below)]
    return found


def draw(trace: str, nodes: list[Node]) -> str:
    """Return the picture."""
    tree = rows(nodes)
    begin, end = min(node.start for node in nodes), max(node.end for node in nodes)
    deepest = max(depth for depth, _ in tree)
    labels = max(LABELS, deepest * INDENT + 260)
    width, height = labels + BARS + 4 * MARGIN, (len(tree) + HEAD) * ROW + 2 * MARGIN
    seconds = (end - begin) / 1e9
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
            f'font-family="ui-sans-serif, system-ui, sans-serif" font-size="11" fill="{INK}">'
        ),
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        (
            f'<text x="{MARGIN}" y="{MARGIN + 10}" font-size="13" font-weight="600">Trace {escape(trace)}: '
            f"{len(nodes)} spans, {seconds:.3f} s</text>"
        ),
        *_legend(),
        *_axis(labels, seconds, height),
    ]
    for line, (depth, node) in enumerate(tree):
        parts += _row(depth, node, MARGIN + (line + HEAD) * ROW, labels, begin, max(end - begin, 1))
    return "\n".join([*parts, "</svg>\n"])


def _legend() -> list[str]:
    parts, at, top = [], MARGIN, MARGIN + ROW + 4
    for name, colour in {**COLOURS, "failed": FAILED}.items():
        parts.append(f'<rect x="{at}" y="{top}" width="10" height="10" rx="2" fill="{colour}"/>')
        parts.append(f'<text x="{at + 14}" y="{top + 9}">{name}</text>')
        at += 30 + 7 * len(name)
    return parts


def _axis(labels: int, seconds: float, height: int) -> list[str]:
    parts = []
    for tenth in range(0, 11, 2):
        x = labels + MARGIN + BARS * tenth / 10
        parts.append(
            f'<line x1="{x:.1f}" y1="{MARGIN + 3.2 * ROW}" x2="{x:.1f}" y2="{height - MARGIN}" stroke="{FAINT}"/>'
        )
        parts.append(
            f'<text x="{x:.1f}" y="{MARGIN + 3 * ROW}" text-anchor="middle" fill="#6b7785">'
            f"{seconds * tenth / 10 * 1000:.0f} ms</text>"
        )
    return parts


def _row(depth: int, node: Node, y: float, labels: int, begin: int, span: int) -> list[str]:
    left = labels + MARGIN + BARS * (node.start - begin) / span
    long = max(BARS * (node.end - node.start) / span, 1.5)
    colour = FAILED if node.failed else COLOURS.get(node.operation, OTHER)
    indent = MARGIN + depth * INDENT
    note = f' <tspan fill="#8a94a0">{escape(node.note)}</tspan>' if node.note else ""
    link = ' <tspan fill="#7c6f9c">↺ linked</tspan>' if node.links else ""
    took = (node.end - node.start) / 1e6
    # Beside the bar where there is room, else before it.
    beside = left + long + 4 < labels + MARGIN + BARS - 60
    x, anchor = (left + long + 4, "start") if beside else (left - 4, "end")
    title = f"<title>{escape(node.name)} {took:.3f} ms</title>"
    bar = f'<rect x="{left:.1f}" y="{y - 10:.1f}" width="{long:.1f}" height="12" rx="2" fill="{colour}"/>'
    return [
        f"<g>{title}{bar}",
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="9" fill="#6b7785" text-anchor="{anchor}">{took:.1f} ms</text>',
        f'<text x="{indent}" y="{y:.1f}">{escape(node.name)}{note}{link}</text></g>',
    ]


if __name__ == "__main__":
    sys.exit(main())
