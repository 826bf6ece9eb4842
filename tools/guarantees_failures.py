"""The part of `docs/reference/guarantees.md` that says what came of each failure: from the matrix's kept results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).resolve().parent.parent / "tests" / "torture" / "results.json"

# Where a row ran: transport and engine, and the column's heading.
COLUMNS: Final = {
    ("sqlite", None): "SQLite",
    ("rabbitmq", "fast"): "RabbitMQ, `fast`",
    ("rabbitmq", "aio-pika"): "RabbitMQ, `aio-pika`",
}
INTRODUCTION: Final = """
## Tried by breaking it

`make torture` sends messages through two actors, `x-sink` behind them, and breaks something while they flow: real
processes, a real broker, a real network. Then it looks for every message in every queue. A row holds when none is lost,
none is at two different places, no queue keeps anything that should have moved on, and no more came **twice** than the
row allows. On SQLite publishing and settling are one transaction, so there a dying process repeats calls, not messages;
on RabbitMQ what a process held when it died (8 messages here) may have been sent on already. Both copies carry the same
id. The table is the last kept run; the first number of a cell is how many messages were sent.

"""


def load() -> list[dict[str, Any]]:
    """Return the kept results; none when nothing was kept yet."""
    found: list[dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    return found


def section(results: list[dict[str, Any]]) -> str:
    """Return the section; raises SystemExit for a result of a transport or engine that has no column."""
    if not results:
        return ""
    rows: dict[str, dict[tuple[str, str | None], dict[str, Any]]] = {}
    for result in results:
        place = (result["transport"], result["engine"])
        if place not in COLUMNS:
            raise SystemExit(f"{RESULTS.name}: row {result['row']}: no column for {place}")
        rows.setdefault(result["row"], {})[place] = result
    parts = [
        INTRODUCTION,
        f"| failure | meets | {' | '.join(COLUMNS.values())} |\n",
        "|---|---|" + "---|" * len(COLUMNS) + "\n",
    ]
    return "".join([*parts, *(_row(name, places) for name, places in rows.items())])


def _row(name: str, places: dict[tuple[str, str | None], dict[str, Any]]) -> str:
    first = next(iter(places.values()))
    met = ", ".join(f"[`{each}`](#{each})" for each in first["row_ids"])
    cells = [_cell(places[place]) if place in places else "–" for place in COLUMNS]
    return f'| <a id="tried-{name}"></a>{first["what"]} | {met} | {" | ".join(cells)} |\n'


def _cell(result: dict[str, Any]) -> str:
    note = f" ({result['note']})" if result["note"] else ""
    if result["skipped"]:
        return f"not run{note}"
    if not result["ok"]:
        return f"**does not hold**: {result['delivered']:,} of {result['sent']:,} arrived in time{note}"
    twice = f"{result['duplicated']:,} twice, at most {result['bound']:,}" if result["bound"] else "none twice"
    return f"{result['sent']:,}: none lost, {twice}{note}"
