"""A dead letter as people see it, which ones are meant, and how one is made ready for another try. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from asya.errors import AsyaError, WireError
from asya.transports import DeadLetter
from asya.wire import Envelope, Raw, Status, content_id, decode, encode, format_time, headers

_ONLY_BETWEEN_ATTEMPTS = (headers.FIRST_ATTEMPT, headers.TERMINAL_ATTEMPT)


@dataclass(frozen=True, kw_only=True)
class Letter:
    """What is told of one dead letter, without its bytes.

    `id`: the envelope's; of what is no envelope, an id made of its bytes. `digest` tells it from others of the same id.
    `error` is what the envelope says went wrong: type and message.
    """

    id: str
    digest: str
    actor: str
    reason: str | None
    attempts: int | None
    since: float | None
    error_type: str
    error_message: str
    deadline_over: bool
    size: int
    is_envelope: bool
    came_from: str = ""
    parent_id: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return it for ``-o json``."""
        return {
            "id": self.id,
            "actor": self.actor,
            "reason": self.reason,
            "attempts": self.attempts,
            "dead_since": None if self.since is None else format_time(self.since),
            "error": {"type": self.error_type, "message": self.error_message} if self.error_type else None,
            "deadline_over": self.deadline_over,
            "size_bytes": self.size,
            "broker": dict(self.tags),
        }


def letter_of(dead: DeadLetter, now: float) -> Letter:
    """Read a dead letter; `now` in Unix seconds."""
    envelope = envelope_of(dead.body)
    error = None if envelope is None or envelope.status is None else envelope.status.error
    deadline = None if envelope is None else envelope.deadline_at
    return Letter(
        id=content_id(dead.body) if envelope is None else envelope.id,
        digest=hashlib.blake2b(dead.body, digest_size=16).hexdigest(),
        actor=dead.actor,
        reason=dead.reason,
        attempts=dead.attempts,
        since=dead.since,
        error_type="" if error is None else error.type,
        error_message="" if error is None else error.message,
        deadline_over=deadline is not None and deadline < now,
        size=len(dead.body),
        is_envelope=envelope is not None,
        came_from=envelope.route.prev[-1] if envelope is not None and envelope.route.prev else "",
        parent_id=(envelope.parent_id or "") if envelope is not None else "",
        tags=dead.tags,
    )


def envelope_of(body: bytes) -> Envelope | None:
    """Return the envelope in a message; None when it is none."""
    try:
        return decode(body, fallback_id=content_id(body))
    except WireError:
        return None


FIELDS: Mapping[str, Callable[[Letter], str]] = {
    "reason": lambda letter: letter.reason or "",
    "error-type": lambda letter: letter.error_type,
    "error-message": lambda letter: letter.error_message,
    "from": lambda letter: letter.came_from,
    "parent-id": lambda letter: letter.parent_id,
}
"""What a query may ask for."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which dead letters are meant: all conditions hold. With `ids`, one of them is the letter's.

    `where`: patterns (shell's wildcards) by names of `FIELDS`. `older_than` in seconds; a letter whose age is not known
    is never older.
    """

    ids: frozenset[str] = frozenset()
    where: tuple[tuple[str, str], ...] = ()
    older_than: float | None = None

    def means(self, letter: Letter, now: float) -> bool:
        """Tell whether a letter is meant."""
        if self.ids and letter.id not in self.ids:
            return False
        if self.older_than is not None and (letter.since is None or now - letter.since <= self.older_than):
            return False
        return all(fnmatchcase(FIELDS[name](letter), pattern) for name, pattern in self.where)


def again(body: bytes, *, payload: Raw | None = None, deadline_at: float | None = None) -> bytes | None:
    """Return the message for another try; None when it can go as it is.

    Attempts begin anew; id, route and hop stay. `payload` replaces its own, `deadline_at` (Unix seconds) its deadline.

    Raises:
        AsyaError: It is no envelope, and something in it is to be replaced.
    """
    envelope = envelope_of(body)
    if envelope is None:
        if payload is not None or deadline_at is not None:
            raise AsyaError("the dead letter is no envelope: it can be redriven as it is, and dropped")
        return None
    kept = {name: value for name, value in envelope.headers.items() if name not in _ONLY_BETWEEN_ATTEMPTS}
    status = _fresh(envelope.status)
    if deadline_at is not None:
        status = msgspec.structs.replace(status or Status(), deadline_at=format_time(deadline_at))
    new = msgspec.structs.replace(
        envelope, headers=kept, status=status, payload=envelope.payload if payload is None else payload
    )
    return None if new == envelope else encode(new)


def _fresh(status: Status | None) -> Status | None:
    if status is None or (status.phase != "retrying" and status.attempt == 1):
        return status
    phase = "pending" if status.phase == "retrying" else status.phase
    return msgspec.structs.replace(status, phase=phase, attempt=1)
