"""A task store on disk, and reports as sidecars write them."""

from pathlib import Path
from typing import Any

import msgspec

from asya.local.reports import Report
from asya.local.schema import connect
from asya.local.tasks import Tasks
from asya.wire import format_time


class Story:
    """A store with its writing side, and one-line reports at given seconds after the epoch."""

    def __init__(self, path: Path) -> None:
        self.db = connect(path)
        self.tasks = Tasks(self.db)

    def create(
        self,
        task_id: str = "t",
        route: tuple[str, ...] = ("a", "b"),
        now: float = 100.0,
        deadline_at: float | None = None,
    ) -> list[str]:
        return self.tasks.create(task_id, list(route), now=now, deadline_at=deadline_at)

    def report(
        self,
        task_id: str,
        status: str | None,
        at: float = 101.0,
        *,
        kind: str = "status",
        parent_id: str | None = None,
        **data: object,
    ) -> list[str]:
        report = {"id": task_id, "type": kind, "at": format_time(at), "data": data}
        report |= {"status": status} if status else {}
        report |= {"parent_id": parent_id} if parent_id else {}
        return self.apply(report)

    def apply(self, report: dict[str, Any]) -> list[str]:
        """As it arrives: through JSON."""
        return self.tasks.apply(msgspec.json.decode(msgspec.json.encode(report), type=Report))
