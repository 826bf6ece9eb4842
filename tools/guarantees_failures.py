"""The part of `docs/reference/guarantees.md` that says what came of each failure: from the matrix's kept results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).resolve().parent.parent / "tests" / "torture" / "results.json"

# Where a row ran: transport and what it was spoken to by (a client, a way of receiving), and the column's heading.
COLUMNS: Final = {
    ("sqlite", None): "SQLite",
    ("rabbitmq", "fast"): "RabbitMQ, `fast`",
    ("rabbitmq", "aio-pika"): "RabbitMQ, `aio-pika`",
    ("sqs", None): "SQS",
    ("pubsub", "pull"): "Pub/Sub, `pull`",
    ("pubsub", "stream"): "Pub/Sub, `stream`",
}
INTRODUCTION: Final = """
## Tried by breaking it

`make torture` sends messages through two actors, `x-sink` behind them, and breaks something while they flow: real
processes, a real broker, a real network. Then it looks for every message in every queue. A row holds when none is lost,
none is at two different places, no queue keeps anything that should have moved on, and no more came **twice** than the
row allows. On SQLite publishing and settling are one transaction, so there a dying process repeats calls, not messages;
elsewhere what a process held when it died (8 messages here) may have been sent on already. Both copies carry the same
id.

SQS is played by moto, Pub/Sub by Google's emulator, with fewer messages because both are slow. What is in them is in
their memory, so they are never killed: their endpoint is taken away instead and given back. What neither of them ever
answers (throttling, credentials that have expired, clocks that are too far apart) a proxy answers, in the cloud's own
words; what is denied or revoked on SQS, moto's IAM decides. Messages of Pub/Sub come by single pulls or by a stream;
before the latter lies a line that ends the streams of processes that died, which the emulator does not notice.
Where these servers answered later than a pod waits, as on a busy machine, what may have been done twice for that reason
is counted, and allowed if the row's own bound is passed; the cell then says how much that was.

The table is the last kept run; the first number of a cell is how many messages were sent. Where a failure cannot be
had, the cell says why.

"""


def load() -> list[dict[str, Any]]:
    """Return the kept results; none when nothing was kept yet."""
    found: list[dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    return found


def section(results: list[dict[str, Any]]) -> str:
    """Return the section.

    Raises:
        SystemExit: A result is of a transport or engine without a column, or a column has no result of a row.
    """
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
    if missing := [heading for place, heading in COLUMNS.items() if place not in places]:
        again = f"`make torture LONG=1 ROW={name}`"
        raise SystemExit(f"{RESULTS.name}: row {name} was not run on {', '.join(missing)}; run {again}")
    cells = [_cell(places[place]) for place in COLUMNS]
    return f'| <a id="tried-{name}"></a>{first["what"]} | {met} | {" | ".join(cells)} |\n'


def _cell(result: dict[str, Any]) -> str:
    note = f" ({result['note']})" if result["note"] else ""
    if result["absent"]:
        return f"– ({result['absent']})"
    if result["skipped"]:
        return f"not run{note}"
    if not result["ok"]:
        return f"**does not hold**: {result['delivered']:,} of {result['sent']:,} arrived in time{note}"
    twice = f"{result['duplicated']:,} twice, at most {result['bound']:,}" if result["bound"] else "none twice"
    return f"{result['sent']:,}: none lost, {twice}{note}"
