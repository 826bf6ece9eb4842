"""What sidecars report, and how tasks and traces look to a client (docs/reference/mesh-api.md)."""

from __future__ import annotations

from typing import Literal

import msgspec

from asya.wire import Raw

TaskStatus = Literal["pending", "running", "paused", "succeeded", "failed", "canceled"]
ReportStatus = Literal["processing", "completed", "retrying", "succeeded", "failed", "canceled", "paused"]

FINAL: frozenset[str] = frozenset({"succeeded", "failed", "canceled"})
_RANK = {"pending": 0, "running": 1, "paused": 2, "succeeded": 3, "failed": 3, "canceled": 3}


def may_become(present: str, wanted: str, *, since: float, at: float) -> bool:
    """Tell whether a task goes from `present` to `wanted`: forward only, the first final status wins.

    A paused task runs again only by news from after the pause (`at` later than `since`, Unix seconds): reports of
    progress are batched and may arrive behind the pause they belong before.
    """
    if present == "paused" and wanted == "running":
        return at > since
    return _RANK[wanted] > _RANK[present]


# A Raw field that is absent is empty text: msgspec reads `Raw | None` as null only.
ABSENT = Raw(b"")


class Report(msgspec.Struct, kw_only=True):
    """One report; `data` is read by `type` and `status` as `StepData`, `FinalData`, `ChildrenData`, or any JSON."""

    id: str
    type: Literal["status", "fly", "children"]
    at: str
    parent_id: str | None = None
    status: ReportStatus | None = None
    data: Raw = Raw(b"{}")


class Batch(msgspec.Struct, kw_only=True):
    """Many reports, and the ids of the calls under way at the sender."""

    events: list[Report] = []
    running: list[str] = []


class StepData(msgspec.Struct, kw_only=True):
    """A hop begins (`processing`) or ends (`completed`, `retrying`). Times in milliseconds and seconds as named."""

    actor: str
    hop: int = 0
    attempt: int = 1
    prev: list[str] = []
    next: list[str] = []
    instance: str = ""
    row: str | None = None
    duration_ms: float | None = None
    to: list[str] = []
    size_bytes: int | None = None
    delay_s: float | None = None
    error: Raw = ABSENT
    children: list[str] = []


class FinalData(msgspec.Struct, kw_only=True):
    """How a task ended, or why it waits."""

    actor: str = ""
    reason: str | None = None
    payload: Raw = ABSENT
    error: Raw = ABSENT
    partial: int | None = None


class ChildrenData(msgspec.Struct, kw_only=True):
    """Fan-out results 1..n of a task."""

    actor: str = ""
    hop: int = 0
    children: list[str]


class Descendants(msgspec.Struct, kw_only=True):
    """All descendants of a task, counted by status; `open` are those without a final one."""

    total: int = 0
    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    open: int = 0


class Task(msgspec.Struct, kw_only=True):
    """One task as a client sees it. Times are RFC 3339; `progress` runs from 0 to 1 and never goes back."""

    id: str
    parent_id: str | None
    actor: str
    route: list[str]
    status: TaskStatus
    created_at: str
    updated_at: str
    deadline_at: str | None
    progress: float
    result: Raw | None
    error: Raw | None
    reason: str | None
    partial: int | None
    children: Descendants


class Hop(msgspec.Struct, kw_only=True):
    """One attempt at one actor; `deliveries` above 1 means that the broker handed it out again."""

    actor: str
    hop: int
    attempt: int
    status: Literal["processing", "completed", "retrying"]
    started_at: str | None
    ended_at: str | None
    duration_ms: float | None
    row: str | None
    to: list[str]
    size_bytes: int | None
    delay_s: float | None
    error: Raw | None
    instance: str
    deliveries: int


class Trace(msgspec.Struct, kw_only=True):
    """A task's hops in order, and the same of its children."""

    id: str
    actor: str
    status: TaskStatus
    reason: str | None
    error: Raw | None
    created_at: str
    updated_at: str
    hops: list[Hop]
    children: list[Trace]


class Event(msgspec.Struct, kw_only=True, frozen=True):
    """One line of a task's event log; `seq` grows over all tasks and is the id of the server-sent event."""

    seq: int
    task_id: str
    type: Literal["status", "fly"]
    data: Raw
