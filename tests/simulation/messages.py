"""The plan's messages as bytes."""

from __future__ import annotations

import json
import uuid
from typing import Any

from tests.simulation.plan import MessagePlan

from asya.wire import format_time

_SPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")


def id_of(number: int) -> str:
    """Return the id of a message."""
    return str(uuid.uuid5(_SPACE, f"message/{number}"))


def body_of(message: MessagePlan, now: float) -> tuple[bytes, str]:
    """Return the bytes, and the row that is about them where they are no envelope."""
    created = format_time(now)
    status: dict[str, Any] = {"phase": "pending", "actor": "", "attempt": 1, "max_attempts": 0}
    status |= {"created_at": created, "updated_at": created}
    if message.deadline is not None:
        status["deadline_at"] = format_time(now + message.deadline)
    headers = dict(message.headers)
    if message.hop is not None:
        headers["x-asya-hop"] = message.hop
    envelope: dict[str, Any] = {
        "id": id_of(message.number),
        "route": {"prev": [], "curr": message.route[0], "next": list(message.route[1:])},
        "headers": headers,
        "payload": {"m": message.number, "pad": "y" * message.size},
        "status": status,
    }
    if message.number % 3 == 2:
        envelope["unknown"] = {"kept": True}
    match message.broken:
        case "no-id":
            del envelope["id"]
            return _text(envelope), "no-id"
        case "empty-id":
            envelope["id"] = ""
            return _text(envelope), "no-id"
        case "no-route":
            del envelope["route"]
        case "bad-deadline":
            status["deadline_at"] = "tomorrow"
        case "bad-hop":
            headers["x-asya-hop"] = "many"
        case "":
            return _text(envelope), ""
    text = _text(envelope)
    broken = {
        "not-utf8": text[:-1] + b"\xff\xfe}",
        "not-json": b"hello",
        "truncated": text[: len(text) // 2],
        "list": b"[" + text + b"]",
        "deep": b'{"id": "a", "route": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    }
    return broken.get(message.broken, text), "unparsable"


def _text(envelope: dict[str, Any]) -> bytes:
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()
