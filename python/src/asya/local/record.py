"""The recorded status: one JSON object a line, whenever replicas or queues of any actor changed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from asya.wire import format_time


class StatusRecord:
    """Appends ``{"at": RFC 3339, "actors": [as in GET /api/v1/actors]}`` to a file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")
        self._last: list[dict[str, Any]] = []

    def note(self, actors: Sequence[Mapping[str, Any]]) -> None:
        """Write a line unless nothing has changed since the last one."""
        now = [dict(actor) for actor in actors]
        if now != self._last and not self._file.closed:
            self._last = now
            self._file.write(msgspec.json.encode({"at": format_time(time.time()), "actors": now}) + b"\n")
            self._file.flush()

    def __enter__(self) -> Self:
        """Use as a context, closed at its end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._file.close()
