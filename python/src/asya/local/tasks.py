"""Writing the task store: what becomes of a task when a client or a sidecar says something about it.

Plain synchronous code inside the caller's transaction (`asya.local.writer` groups many into one commit). Each call
checks before it writes: an `ApiError` leaves nothing behind. Each returns the ids of the tasks whose event log grew.
"""

# ruff: noqa: S608  every statement is fixed text, values are bound
from __future__ import annotations

import json
import sqlite3
from collections import Counter
from typing import Any, TypeVar

import msgspec

from asya.errors import WireError
from asya.local import views
from asya.local.problems import invalid, task_exists
from asya.local.reports import FINAL, ChildrenData, FinalData, Report, StepData, may_become
from asya.wire import Raw, format_time, parse_time

D = TypeVar("D")
EVENTS_KEPT = 1000
_TRIM_AFTER = EVENTS_KEPT + 200
_ENDS = FINAL | {"paused"}


class Tasks:
    """The writing side of one store."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._logged: Counter[str] = Counter()

    def create(self, task_id: str, route: list[str], *, now: float, deadline_at: float | None) -> list[str]:
        """Note a new root task whose first actor is `route[0]`; times are Unix seconds.

        Raises:
            ApiError: 409, the id is in use.
        """
        if self._exists(task_id):
            raise task_exists(task_id)
        self._insert(task_id, None, route, now=now, deadline_at=deadline_at)
        return [task_id]

    def forget(self, task_id: str) -> list[str]:
        """Take back `create` when the message could not be published."""
        self._db.execute("DELETE FROM events WHERE task_id = ?", (task_id,))
        self._db.execute("DELETE FROM tasks WHERE id = ?", (task_id,))
        return [task_id]

    def apply(self, report: Report) -> list[str]:
        """Take in one report.

        A task that nobody announced is made when the report names a parent that is known: a result may reach the next
        actor before the report about the fan-out does.

        Raises:
            ApiError: 404 for a task nobody knows, 400 for a report that cannot be read.
        """
        at = _moment(report.at)
        if report.type == "fly":
            self._known(report, at)
            return self._log(report.id, "fly", report.data)
        if report.type == "children":
            data = _read(report.data, ChildrenData)
            self._known(report, at)
            return self._add_children(report.id, data.children, at)
        if report.status is None:
            raise invalid("a report of type status has no status")
        if report.status in _ENDS:
            final = _read(report.data, FinalData)
            self._known(report, at)
            return self._end(report.id, report.status, final, at)
        step = _read(report.data, StepData)
        self._known(report, at)
        return self._step(report.id, report.status, step, at)

    def cancel(self, task_id: str, *, now: float) -> list[str]:
        """Cancel a task and all its descendants that have no final status yet; those that come later are born canceled.

        Raises:
            ApiError: 404, nobody knows it.
        """
        views.find(self._db, task_id)
        tree = [row["id"] for row in self._db.execute(f"{views.TREE} SELECT id FROM tree", (task_id,))]
        self._db.execute(
            f"{views.TREE} UPDATE tasks SET cancel_asked = 1 WHERE id IN (SELECT id FROM tree)", (task_id,)
        )
        changed = [member for member in tree if self._become(member, "canceled", now, reason="Canceled")]
        for member in changed:
            self._log_status(member, now)
        return changed

    def _known(self, report: Report, at: float) -> sqlite3.Row:
        parent = report.parent_id
        if parent is not None and parent != report.id and self._exists(parent) and not self._exists(report.id):
            self._add_children(parent, [report.id], at)
        return views.find(self._db, report.id)

    def _add_children(self, parent: str, children: list[str], at: float) -> list[str]:
        row = views.find(self._db, parent)
        made = []
        for child in children:
            if self._exists(child):
                continue  # a repeated call emits the same ids
            self._insert(child, parent, [], now=at, deadline_at=row["deadline_at"])
            made.append(child)
            if row["cancel_asked"]:
                self._db.execute("UPDATE tasks SET cancel_asked = 1 WHERE id = ?", (child,))
                self._become(child, "canceled", at, reason="Canceled")
                self._log_status(child, at)
        return made

    def _step(self, task_id: str, status: str, step: StepData, at: float) -> list[str]:
        self._note_hop(task_id, status, step, at)
        if status == "processing":
            # First, because it compares with the time of the pause that the update below moves on.
            self._become(task_id, "running", at)
            done, left = len(step.prev), len(step.next)
            self._db.execute(
                "UPDATE tasks SET actor = ?, route = ?, progress = max(progress, ?), updated_at = ? "
                "WHERE id = ? AND updated_at <= ? AND status IN ('pending', 'running')",
                (
                    step.actor,
                    json.dumps([*step.prev, step.actor, *step.next]),
                    done / (done + 1 + left),
                    at,
                    task_id,
                    at,
                ),
            )
        elif views.find(self._db, task_id)["status"] == "pending":
            self._become(task_id, "running", at)  # the report of the beginning was dropped
        children = self._add_children(task_id, step.children, at)
        if views.find(self._db, task_id)["status"] in FINAL or status == "completed":
            return children
        extra: dict[str, Any] = {"attempt": step.attempt} | (
            {"retry_in_s": step.delay_s} if status == "retrying" else {}
        )
        return [*children, *self._log_status(task_id, at, error=step.error, **extra)]

    def _note_hop(self, task_id: str, status: str, step: StepData, at: float) -> None:
        key = (task_id, step.hop, step.attempt, step.actor)
        if status == "processing":
            self._db.execute(
                "INSERT INTO hops (task_id, hop, attempt, actor, status, started_at, instance, deliveries) "
                "VALUES (?, ?, ?, ?, 'processing', ?, ?, 1) ON CONFLICT DO UPDATE SET "
                # The report of the end may be ahead of the one of the beginning; then the end stands.
                "deliveries = deliveries + 1, instance = excluded.instance, "
                "started_at = coalesce(started_at, excluded.started_at)",
                (*key, at, step.instance),
            )
            return
        self._db.execute(
            "INSERT INTO hops (task_id, hop, attempt, actor, status, ended_at, duration_ms, row_id, sent_to, "
            "size_bytes, delay_s, error, instance) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET status = excluded.status, "
            "ended_at = excluded.ended_at, duration_ms = excluded.duration_ms, "
            "row_id = excluded.row_id, sent_to = excluded.sent_to, size_bytes = excluded.size_bytes, "
            "delay_s = excluded.delay_s, error = excluded.error, "
            "instance = coalesce(nullif(excluded.instance, ''), instance)",
            (
                *(*key, status, at, step.duration_ms, step.row, json.dumps(step.to)),
                *(step.size_bytes, step.delay_s, _bytes(step.error), step.instance),
            ),
        )

    def _end(self, task_id: str, status: str, final: FinalData, at: float) -> list[str]:
        if not self._become(task_id, status, at, reason=final.reason):
            return []
        self._db.execute(
            "UPDATE tasks SET result = ?, error = ?, partial = ?, actor = coalesce(nullif(?, ''), actor), "
            "progress = CASE WHEN status = 'succeeded' THEN 1.0 ELSE progress END WHERE id = ?",
            (_bytes(final.payload), _bytes(final.error), final.partial, final.actor, task_id),
        )
        return self._log_status(task_id, at)

    def _become(self, task_id: str, status: str, at: float, *, reason: str | None = None) -> bool:
        row = views.find(self._db, task_id)
        if not may_become(row["status"], status, since=row["updated_at"], at=at):
            return False
        self._db.execute(
            "UPDATE tasks SET status = ?, reason = ?, updated_at = max(updated_at, ?) WHERE id = ?",
            (status, reason, at, task_id),
        )
        return True

    def _log_status(self, task_id: str, at: float, **extra: Any) -> list[str]:  # noqa: ANN401  JSON values
        row = views.find(self._db, task_id)
        data = (
            {name: row[name] for name in ("id", "status", "actor", "progress", "reason")}
            | {"at": format_time(at)}
            | extra
        )
        error = _bytes(extra["error"]) if "error" in extra else row["error"]
        data["error"] = None if error is None else Raw(error)
        return self._log(task_id, "status", Raw(msgspec.json.encode(data)))

    def _log(self, task_id: str, kind: str, data: Raw) -> list[str]:
        self._db.execute("INSERT INTO events (task_id, type, data) VALUES (?, ?, ?)", (task_id, kind, bytes(data)))
        self._logged[task_id] += 1
        if self._logged[task_id] > _TRIM_AFTER:
            self._db.execute(
                "DELETE FROM events WHERE task_id = ? AND seq <= "
                "(SELECT seq FROM events WHERE task_id = ? ORDER BY seq DESC LIMIT 1 OFFSET ?)",
                (task_id, task_id, EVENTS_KEPT),
            )
            self._logged[task_id] = EVENTS_KEPT
        return [task_id]

    def _insert(
        self, task_id: str, parent: str | None, route: list[str], *, now: float, deadline_at: float | None
    ) -> None:
        self._db.execute(
            "INSERT INTO tasks (id, parent_id, actor, route, status, created_at, updated_at, deadline_at) "
            "VALUES (?, ?, ?, ?, 'pending', ?, ?, ?)",
            (task_id, parent, route[0] if route else "", json.dumps(route), now, now, deadline_at),
        )

    def _exists(self, task_id: str) -> bool:
        return self._db.execute("SELECT 1 FROM tasks WHERE id = ?", (task_id,)).fetchone() is not None


def _moment(text: str) -> float:
    try:
        return parse_time(text)
    except WireError as error:
        raise invalid(f"report time: {error}") from None


def _read(data: Raw, kind: type[D]) -> D:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(f"report data: {error}") from None


def _bytes(value: Raw) -> bytes | None:
    """Return JSON text, or None where there is nothing to tell."""
    text = bytes(value)
    return None if text in (b"", b"null") else text
