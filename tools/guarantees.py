"""Write `docs/reference/guarantees.md` from the truth table, the transports' promises and the kept failures.

`--check` fails when the page is out of step with `tests/truth-table.yaml` or `tests/torture/results.json`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import guarantees_failures
import guarantees_promises
import yaml
from generated import checking, settle

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "tests" / "truth-table.yaml"
PAGE = ROOT / "docs" / "reference" / "guarantees.md"

# Groups of the table in the order of a message's life: heading, and a sentence for the reader.
GROUPS = {
    "before_the_call": (
        "Before your function is called",
        "The first row that applies decides; the checks run in this order.",
    ),
    "the_call": ("Your function ran", "What it returned, yielded or raised decides."),
    "publishing": ("Sending the result on", "The input stays leased until the broker has confirmed what replaces it."),
    "terminal_actors": (
        "At the end of the route",
        "`x-sink` closes every route, `x-sump` takes what has nowhere else to go.",
    ),
    "around_it": ("Around it", "What processes and brokers do while messages are under way."),
}

DESTINATIONS = {
    "next": "the next actor",
    "self": "this actor's queue again",
    "sink": "`x-sink`",
    "sump": "`x-sump`",
    "on-exhausted": "the actors of `onExhausted`",
    "pause-actor": "the pause actor",
    "broker-dlq": "the actor's dead-letter queue",
    "nowhere": "nowhere",
    "call": "your function",
    "as for handler-error": "as for [`handler-error`](#handler-error)",
}
SETTLEMENTS = {
    "ack": "acknowledged",
    "release": "released: the broker hands it out again",
    "keep": "not settled yet",
    None: "as that row says",
}

INTRODUCTION = """\
# Guarantees

<!-- Generated from tests/truth-table.yaml and tests/torture/results.json by `make docs`; edit those, not this page. -->

What becomes of a message, in every situation. Delivery is **at least once**: a message is settled only after the
broker has confirmed what replaces it, and each delivery is settled exactly once. Between messages there is **no
order**. Headers, trace context, deadline and creation time survive every row; the payload is unchanged unless a row
says otherwise.

Each row has an id. The decision code, the tests against every transport, the failures at the end of this page and the
page itself are all held against the same table, and a test fails for an id without a case. Logs and traces name the row
that was taken.
"""


def render(table: dict[str, Any], results: list[dict[str, Any]]) -> str:
    """Return the page for a table and the kept results of the failure matrix.

    Raises SystemExit for a word in them that this page cannot explain.
    """
    missing = set(GROUPS) ^ {name for name, value in table.items() if isinstance(value, list) and name not in _LISTS}
    if missing:
        raise SystemExit(f"{TABLE.name}: groups without a heading here, or headings without a group: {sorted(missing)}")
    order = " → ".join(name.replace("-", " ") for name in table["order_of_checks"])
    parts = [INTRODUCTION, f"\nThe checks before a call, in order: {order}.\n"]
    for name, (heading, sentence) in GROUPS.items():
        parts.append(f"\n## {heading}\n\n{sentence}\n\n")
        parts.append("| id | situation | the message goes to | the delivery is | what your message looks like then |\n")
        parts.append("|---|---|---|---|---|\n")
        parts += [_row(row) for row in table[name]]
    parts.append(guarantees_promises.promises())
    ids = [row["id"] for name in GROUPS for row in table[name]]
    parts += [guarantees_promises.rows(ids, results), guarantees_failures.section(results)]
    return "".join(parts)


_LISTS = {"order_of_checks"}


def _row(row: dict[str, Any]) -> str:
    to, settle = row["to"], row.get("settle")
    if to not in DESTINATIONS or (settle not in SETTLEMENTS):
        raise SystemExit(
            f"{TABLE.name}: row {row['id']}: to {to!r}, settle {settle!r}: not explained in tools/guarantees.py"
        )
    where = "nowhere yet: it stays leased here" if settle == "keep" else DESTINATIONS[to]
    settled = "not settled yet: the call decides" if to == "call" and settle is None else SETTLEMENTS[settle]
    if to == "broker-dlq" and settle is None:
        settled = "moved by the broker"
    cells = (f'<a id="{row["id"]}"></a>`{row["id"]}`', row["when"], where, settled, _appearance(row))
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |\n"


def _appearance(row: dict[str, Any]) -> str:
    """Say phase, reason, payload and remark of a row in one cell."""
    said = []
    if phase := row.get("phase"):
        said.append(f"phase `{phase}`")
    if reason := row.get("reason"):
        said.append("reason " + " or ".join(f"`{word}`" for word in str(reason).split(" | ")))
    if payload := row.get("payload"):
        said.append("payload: the input" if payload == "input" else f"payload: {payload}")
    text = ", ".join(said)
    return "; ".join(part for part in (text, row.get("note", "")) if part) or "unchanged"


def main() -> int:
    """Write the page, or check it."""
    page = render(yaml.safe_load(TABLE.read_text()), guarantees_failures.load())
    check = checking("Write docs/reference/guarantees.md from the truth table.")
    return settle({PAGE: page}, check=check, again="docs")


if __name__ == "__main__":
    sys.exit(main())
