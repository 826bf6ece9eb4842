"""The report folder: index.html with the table, one SVG file for each picture. Pure, but for writing the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.charts import Bar, bars, lines
from benchmarks.curves import CURVES
from benchmarks.display import cells
from benchmarks.kinds import EVERYBODY, OURS
from benchmarks.rows import ROWS

_BARS = (
    ("hop.rabbitmq.quorum", "Hops per second of one worker, quorum queues"),
    ("hop.rabbitmq.classic", "Hops per second of one worker, classic queues"),
    ("cpu.worker", "CPU time of the whole worker per hop, quorum queues"),
    ("cpu.worker.classic", "CPU time of the whole worker per hop, classic queues"),
    ("latency.p50", "Idle hop, median"),
    ("latency.p99", "Idle hop, 99th percentile"),
    ("payload.1mib", "Payloads of 1 MiB through one worker"),
    ("payload.1mib.memory", "Most memory of the worker meanwhile"),
    ("cpu.sqs", "CPU time of the whole worker per hop, SQS"),
    ("cpu.pubsub", "CPU time of the whole worker per hop, Pub/Sub"),
    ("fanout", "Confirmed results per second, 100 for each call"),
)
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1f2937;max-width:1180px;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%;font-size:13.5px}
td,th{border-bottom:1px solid #e5e7eb;padding:.4rem .5rem;text-align:left;vertical-align:top}
td.n{text-align:right;white-space:nowrap}.yes{color:#15803d;font-weight:600}.no{color:#b91c1c;font-weight:600}
.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(480px,1fr));gap:1rem}
figure{margin:0;border:1px solid #e5e7eb;border-radius:6px;padding:.5rem}code{font-size:12.5px}p.note{color:#6b7280}
"""
_HEADS = ("row", "what", "value", "spread", "goal: measured", "met", "beside it (ratio of ours to theirs)")


def pictures(results: Mapping[str, Mapping[str, Any]], curves: Mapping[str, Any]) -> dict[str, str]:
    """Return SVG texts by file name."""
    found = {}
    for row_id, title in _BARS:
        if (row := results.get(row_id)) is not None:
            found[f"{row_id}.svg"] = bars(title, row["unit"], _bar_values(row), ours=OURS)
    for curve in CURVES:
        if series := curves.get(curve.id):
            found[f"{curve.id}.svg"] = lines(
                curve.title, curve.axis, "hops/s", series, logarithmic=curve.id != "curve.actors"
            )
    if series := curves.get("memory.sidecar"):
        found["memory.sidecar.svg"] = lines(
            "Resident memory of the sidecar", "messages done", "MiB", series, logarithmic=False
        )
    if series := curves.get("fds.reconnects"):
        found["fds.reconnects.svg"] = lines(
            "File descriptors of the sidecar", "reconnects", "open", series, logarithmic=False
        )
    return found


def write(
    folder: Path, results: Mapping[str, Mapping[str, Any]], curves: Mapping[str, Any], sentences: Sequence[str]
) -> Path:
    """Write the folder's pictures and index.html; return the page."""
    drawn = pictures(results, curves)
    for old in folder.glob("*.svg"):
        old.unlink()
    for name, text in drawn.items():
        (folder / name).write_text(text)
    page = folder / "index.html"
    page.write_text(_page(results, drawn, sentences))
    return page


def _bar_values(row: Mapping[str, Any]) -> list[Bar]:
    values = [(OURS, row["value"], *row["spread"])]
    values += [(name, figure["value"], *figure["spread"]) for name, figure in row["against"].items()]
    return sorted(values, key=lambda bar: bar[1], reverse=row["better"] == "more")


def _page(results: Mapping[str, Mapping[str, Any]], drawn: Mapping[str, str], sentences: Sequence[str]) -> str:
    lines_ = []
    for row in ROWS:
        if (found := results.get(row.id)) is None:
            continue
        value, spread, goal, beside = map(escape, cells(found))
        met = {None: "", True: '<span class="yes">yes</span>', False: '<span class="no">no</span>'}[found["met"]]
        lines_.append(
            f'<tr><td><code>{row.id}</code></td><td>{escape(row.what)}</td><td class="n"><b>{value}</b></td>'
            f'<td class="n">{spread}</td><td>{goal}</td><td>{met}</td><td>{beside}</td></tr>'
        )
    who = "".join(
        f"<tr><td>{kind.name}</td><td>{'yes' if kind.confirms else 'no'}</td><td>{escape(kind.how)}</td></tr>"
        for kind in EVERYBODY
    )
    figures = "".join(f"<figure>{text}</figure>" for text in drawn.values())
    told = "".join(f'<p class="note">{escape(sentence)}</p>' for sentence in sentences)
    heads = "".join(f"<th>{head}</th>" for head in _HEADS)
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>asya bench</title><style>{_STYLE}</style>
<h1>asya bench</h1>{told}
<table><tr>{heads}</tr>
{"".join(lines_)}</table>
<h2>Pictures</h2><div class="pictures">{figures}</div>
<h2>Who took part</h2>
<table><tr><th>kind</th><th>waits for the broker's confirmation</th><th>set up</th></tr>{who}</table>
</html>
"""
