"""What `asya up` says: log lines of actors with their prefix, and its own words; or one JSON object a line."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

import msgspec

from asya.wire import format_time

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
_LONGEST = 2000
_OURS = "asya"
_SAID_AGAIN_SECONDS = 60.0
_SHOWN_FIELDS = ("envelope", "error", "reason")


class Console:
    """Writes to one stream; `level` is the least level of our own processes' log lines that people get to see."""

    def __init__(
        self, stream: TextIO | None = None, *, colour: bool = False, as_json: bool = False, level: str = "warning"
    ) -> None:
        self._stream = stream or sys.stdout
        self._colour, self._as_json, self._level = colour, as_json, _LEVELS[level]
        self._said: dict[tuple[str, str], float] = {}

    def event(self, name: str, text: str, *, level: str = "info", **fields: object) -> None:
        """Say something of our own: `text` for people, `name` and `fields` for programs."""
        if self._as_json:
            self._json({"event": name, "level": level, "message": text, **fields})
            return
        colour = {"warning": 33, "error": 31}.get(level, 1)
        self._write(f"{self._paint('asya', colour)} {text}")

    def line(self, actor: str, replica: int, source: str, text: str, *, ready: bool = True) -> None:
        """Show one line that a replica wrote; `source` is ``sidecar`` or ``runtime``.

        While it is not `ready` our own processes' lines are left out: why it does not come up is told by an event.
        """
        record = _record(text)
        if self._as_json:
            shown: dict[str, object] = {"record": record} if record else {"text": text[:_LONGEST]}
            self._json({"event": "log", "actor": actor, "replica": replica, "source": source, **shown})
            return
        if record is not None:
            if not self._counts(record, ready=ready) or not self._is_new(actor, str(record["msg"])):
                return
            text = _sentence(record)
        if len(text) > _LONGEST:
            text = text[:_LONGEST] + " … (cut; the log file has all of it)"
        prefix = self._paint(f"{actor}/{replica}", _COLOURS[sum(actor.encode()) % len(_COLOURS)])
        self._write(f"{prefix} {text}")

    def _counts(self, record: Mapping[str, Any], *, ready: bool) -> bool:
        level = _LEVELS.get(str(record.get("level")), 50)
        return level >= self._level and (ready or self._level == _LEVELS["debug"])

    def _is_new(self, actor: str, message: str) -> bool:
        """A process that is started again and again says the same every time; once a minute is enough."""
        now = time.monotonic()
        last = self._said.get((actor, message))
        if last is not None and now - last < _SAID_AGAIN_SECONDS:
            return False
        if len(self._said) > 1000:
            self._said.clear()
        self._said[(actor, message)] = now
        return True

    def _json(self, entry: Mapping[str, object]) -> None:
        self._write(msgspec.json.encode({"at": format_time(time.time()), **entry}).decode())

    def _paint(self, text: str, code: int) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (BrokenPipeError, ValueError):
            pass  # nobody reads any more; the log files go on


def _record(text: str) -> dict[str, Any] | None:
    """Return a log record of our own processes, None for anything a handler wrote."""
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    is_ours = isinstance(found, dict) and str(found.get("logger", "")).startswith(_OURS) and "msg" in found
    return found if is_ours else None


def _sentence(record: Mapping[str, Any]) -> str:
    fields = " ".join(f"{name}={record[name]}" for name in _SHOWN_FIELDS if record.get(name))
    return f"{record.get('level')}: {record['msg']}" + (f" ({fields})" if fields else "")
