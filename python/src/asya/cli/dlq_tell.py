"""Dead letters on the screen."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click
import msgspec

from asya.cli.dlq_letter import Letter, envelope_of
from asya.wire import Status, format_time

_ID_CHARS, _ERROR_CHARS = 36, 60


@dataclass
class Summary:
    """What is in one dead-letter queue; `more`: there was more than was looked at."""

    actor: str
    count: int = 0
    more: bool = False
    oldest: float | None = None
    reasons: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, letter: Letter) -> None:
        """Count one."""
        self.count += 1
        self.reasons[letter.reason or "unknown"] += 1
        if letter.error_type:
            self.errors[letter.error_type] += 1
        if letter.since is not None:
            self.oldest = letter.since if self.oldest is None else min(self.oldest, letter.since)

    def record(self) -> dict[str, Any]:
        """Return it for ``-o json``."""
        return {
            "name": self.actor,
            "dead": self.count,
            "more": self.more,
            "oldest": None if self.oldest is None else format_time(self.oldest),
            "reasons": dict(self.reasons.most_common()),
            "errors": dict(self.errors.most_common()),
        }


def summaries(found: Sequence[Summary]) -> Iterator[str]:
    """Yield a table of queues."""
    rows = [
        (one.actor, f"{one.count}{'+' if one.more else ''}", age(one.oldest), _counts(one.reasons), _counts(one.errors))
        for one in found
    ]
    yield from _table(("ACTOR", "DEAD", "OLDEST", "REASONS", "ERRORS"), rows)


def letters(found: Sequence[Letter]) -> Iterator[str]:
    """Yield a table of letters."""
    rows = [
        (
            letter.id[:_ID_CHARS],
            age(letter.since),
            letter.reason or "?",
            "?" if letter.attempts is None else str(letter.attempts),
            _error(letter),
        )
        for letter in found
    ]
    yield from _table(("ID", "AGE", "REASON", "ATTEMPTS", "ERROR"), rows)


def whole(letter: Letter, body: bytes) -> Iterator[str]:
    """Yield everything about one letter."""
    yield click.style(letter.id, bold=True)
    facts: dict[str, str] = {
        "actor": letter.actor,
        "reason": letter.reason or "unknown",
        "attempts": "unknown" if letter.attempts is None else str(letter.attempts),
        "dead since": f"{format_time(letter.since)} ({age(letter.since)} ago)" if letter.since else "unknown",
        "size": f"{letter.size} bytes",
    }
    envelope = envelope_of(body)
    if envelope is None:
        facts["body"] = "no envelope"
    else:
        route = envelope.route
        facts["route"] = " → ".join([*route.prev, f"[{route.curr}]", *route.next])
        facts |= {"parent": envelope.parent_id} if envelope.parent_id else {}
        facts |= _status(envelope.status)
        facts |= {f"header {name}": bytes(value).decode() for name, value in envelope.headers.items()}
    facts |= {f"broker {name}": value for name, value in letter.tags.items()}
    width = max(map(len, facts))
    for name, value in facts.items():
        yield f"  {name.ljust(width)}  {value}"
    if letter.deadline_over:
        yield click.style("  its deadline is over: redriven it fails at once, unless with --timeout", fg="yellow")
    if envelope is not None and envelope.status is not None and envelope.status.error is not None:
        yield from (f"  {line}" for line in envelope.status.error.traceback.rstrip().splitlines())
    yield body.decode("utf-8", "backslashreplace") if envelope is None else pretty(bytes(envelope.payload))


def record(letter: Letter, body: bytes) -> dict[str, Any]:
    """Return everything about one letter for ``-o json``: `envelope`, or `body` as text where there is none."""
    if not letter.is_envelope:
        return {**letter.record(), "envelope": None, "body": body.decode("utf-8", "backslashreplace")}
    return {**letter.record(), "envelope": json.loads(body)}


def pretty(payload: bytes) -> str:
    """Return JSON with indents."""
    return msgspec.json.format(payload, indent=2).decode()


def age(since: float | None) -> str:
    """Return how long ago a moment was, in its largest unit."""
    if since is None:
        return "?"
    seconds = max(0.0, time.time() - since)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def _status(status: Status | None) -> Mapping[str, str]:
    if status is None:
        return {}
    facts = {"phase": f"{status.phase}{f' ({status.reason})' if status.reason else ''}"}
    if status.error is not None:
        facts["error"] = f"{status.error.type}: {status.error.message}"
    return facts | ({"deadline": status.deadline_at} if status.deadline_at else {})


def _error(letter: Letter) -> str:
    text = f"{letter.error_type}: {letter.error_message}" if letter.error_type else ""
    line = " ".join(text.split())
    return line if len(line) <= _ERROR_CHARS else line[: _ERROR_CHARS - 1] + "…"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common())


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for number, row in enumerate((header, *rows)):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        yield click.style(line, bold=True) if number == 0 else line
