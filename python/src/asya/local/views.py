"""Reading the task store: tasks, traces, event logs. Nothing here writes."""

# ruff: noqa: S608  every statement is fixed text, values are bound
from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from asya.local.problems import unknown_task
from asya.local.reports import Descendants, Event, Hop, Task, Trace
from asya.wire import Raw, format_time

TREE = """WITH RECURSIVE tree(id) AS (
    SELECT ? UNION SELECT tasks.id FROM tasks JOIN tree ON tasks.parent_id = tree.id
)"""


def find(db: sqlite3.Connection, task_id: str) -> sqlite3.Row:
    """Return the row of one task.

    Raises:
        ApiError: 404, nobody knows it.
    """
    row: sqlite3.Row | None = db.execute("SELECT * FROM tasks WHERE id = ?", (task_id,)).fetchone()
    if row is None:
        raise unknown_task(task_id)
    return row


def task(db: sqlite3.Connection, task_id: str) -> Task:
    """Return one task with the counts of its descendants."""
    return _task(db, find(db, task_id))


def roots(db: sqlite3.Connection, status: str | None, limit: int, offset: int) -> tuple[list[Task], int]:
    """Return tasks without a parent, newest first, and how many there are in all."""
    where, values = ("AND status = ?", [status]) if status else ("", [])
    total = db.execute(f"SELECT count(*) FROM tasks WHERE parent_id IS NULL {where}", values).fetchone()[0]
    rows = db.execute(
        f"SELECT * FROM tasks WHERE parent_id IS NULL {where} ORDER BY created_at DESC, rowid DESC LIMIT ? OFFSET ?",
        [*values, limit, offset],
    ).fetchall()
    return [_task(db, row) for row in rows], total


def trace(db: sqlite3.Connection, task_id: str) -> Trace:
    """Return a task's hops and those of all its descendants, as a tree in the order of creation."""
    find(db, task_id)
    rows = db.execute(
        f"{TREE} SELECT tasks.* FROM tree JOIN tasks USING (id) ORDER BY created_at, rowid", (task_id,)
    ).fetchall()
    hops: dict[str, list[Hop]] = {row["id"]: [] for row in rows}
    found = db.execute(
        f"{TREE} SELECT hops.* FROM tree JOIN hops ON hops.task_id = tree.id ORDER BY hop, attempt, started_at",
        (task_id,),
    )
    for row in found:
        hops[row["task_id"]].append(_hop(row))
    traces = {row["id"]: _trace(row, hops[row["id"]]) for row in rows}
    for row in rows:
        if row["id"] != task_id:
            traces[row["parent_id"]].children.append(traces[row["id"]])
    return traces[task_id]


def events_after(db: sqlite3.Connection, task_id: str, seq: int, limit: int = 500) -> list[Event]:
    """Return up to `limit` events of a task's log that came after `seq`, oldest first."""
    rows = db.execute(
        "SELECT * FROM events WHERE task_id = ? AND seq > ? ORDER BY seq LIMIT ?", (task_id, seq, limit)
    ).fetchall()
    return [Event(seq=row["seq"], task_id=task_id, type=row["type"], data=Raw(row["data"])) for row in rows]


def last_seq(db: sqlite3.Connection, task_id: str) -> int:
    """Return the number of the newest event in a task's log, 0 when it has none."""
    return int(db.execute("SELECT coalesce(max(seq), 0) FROM events WHERE task_id = ?", (task_id,)).fetchone()[0])


def canceled_among(db: sqlite3.Connection, task_ids: Iterable[str]) -> list[str]:
    """Return those of `task_ids` that were canceled, in their order."""
    return [
        task_id
        for task_id in task_ids
        if db.execute("SELECT 1 FROM tasks WHERE id = ? AND status = 'canceled'", (task_id,)).fetchone()
    ]


def busy_sidecars(db: sqlite3.Connection, actor: str) -> set[int]:
    """Return the process ids of the sidecars that are at work for `actor`, as far as their reports tell."""
    rows = db.execute("SELECT instance FROM hops WHERE actor = ? AND status = 'processing'", (actor,))
    ids = (row["instance"].rpartition(":")[2] for row in rows)
    return {int(text) for text in ids if text.isdigit()}


def count_by_status(db: sqlite3.Connection, since: float = 0.0) -> dict[str, int]:
    """Count tasks that had news at or after `since` (Unix seconds), descendants included."""
    rows = db.execute("SELECT status, count(*) AS n FROM tasks WHERE updated_at >= ? GROUP BY status", (since,))
    return {row["status"]: row["n"] for row in rows}


def _task(db: sqlite3.Connection, row: sqlite3.Row) -> Task:
    return Task(
        id=row["id"],
        parent_id=row["parent_id"],
        actor=row["actor"],
        route=json.loads(row["route"]),
        status=row["status"],
        created_at=format_time(row["created_at"]),
        updated_at=format_time(row["updated_at"]),
        deadline_at=None if row["deadline_at"] is None else format_time(row["deadline_at"]),
        progress=row["progress"],
        # The final report of a failure carries the payload its call was given: no result, whoever asks.
        result=_raw(row["result"]) if row["status"] == "succeeded" else None,
        error=_raw(row["error"]),
        reason=row["reason"],
        partial=row["partial"],
        children=_descendants(db, row["id"]),
    )


def _descendants(db: sqlite3.Connection, task_id: str) -> Descendants:
    counts = {
        row["status"]: row["n"]
        for row in db.execute(
            f"{TREE} SELECT status, count(*) AS n FROM tree JOIN tasks USING (id) WHERE id <> ? GROUP BY status",
            (task_id, task_id),
        )
    }
    ended = {status: counts.get(status, 0) for status in ("succeeded", "failed", "canceled")}
    total = sum(counts.values())
    return Descendants(total=total, open=total - sum(ended.values()), **ended)


def _hop(row: sqlite3.Row) -> Hop:
    return Hop(
        actor=row["actor"],
        hop=row["hop"],
        attempt=row["attempt"],
        status=row["status"],
        started_at=None if row["started_at"] is None else format_time(row["started_at"]),
        ended_at=None if row["ended_at"] is None else format_time(row["ended_at"]),
        duration_ms=row["duration_ms"],
        row=row["row_id"],
        to=json.loads(row["sent_to"]),
        size_bytes=row["size_bytes"],
        delay_s=row["delay_s"],
        error=_raw(row["error"]),
        instance=row["instance"],
        deliveries=row["deliveries"],
    )


def _trace(row: sqlite3.Row, hops: list[Hop]) -> Trace:
    return Trace(
        id=row["id"],
        actor=row["actor"],
        status=row["status"],
        reason=row["reason"],
        error=_raw(row["error"]),
        created_at=format_time(row["created_at"]),
        updated_at=format_time(row["updated_at"]),
        hops=hops,
        children=[],
    )


def _raw(text: bytes | None) -> Raw | None:
    return None if text is None else Raw(text)
