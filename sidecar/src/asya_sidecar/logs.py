"""Logs: one JSON object a line on standard error, with the ids of envelope and trace where there are any."""

from __future__ import annotations

import logging
import sys
from typing import Any

import msgspec

from asya.wire import format_time

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Writes a record and its `extra` fields as JSON."""

    def __init__(self, **constant: str) -> None:
        super().__init__()
        self._constant = constant

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        entry: dict[str, Any] = {
            "ts": format_time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
            **self._constant,
        }
        entry.update((name, value) for name, value in vars(record).items() if name not in _STANDARD and value)
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry, enc_hook=str).decode()


def set_up(level: str, **constant: str) -> None:
    """Send all logs of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(**constant))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Their own reports of what we handle and log ourselves.
    for name in ("aio_pika", "aiormq"):
        logging.getLogger(name).setLevel(max(logging.getLogger().level, logging.ERROR))
