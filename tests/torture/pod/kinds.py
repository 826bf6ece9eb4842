"""What the first actor does in the row in which every kind of message goes through at once, and what ends do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import handlers
import stops

_RECORD = os.open(os.environ["TEST_RECORD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_ACTOR = os.environ["TEST_ACTOR"]


class FinalError(Exception):
    """Not tried again."""

    retryable = False


class PassingError(Exception):
    """Gone at the next attempt."""


class LateError(Exception):
    """To be tried again when nobody waits any more."""

    retry_after = 36_000


class RescueError(Exception):
    """A rule sends it elsewhere."""


async def every(payload: dict[str, Any]) -> AsyncIterator[Any]:  # noqa: C901  one branch per kind
    """Do what the payload's `kind` says."""
    handlers.note(payload)
    stops.reached("during-call")
    kind = payload.get("kind")
    if kind == "nothing":
        return
    if kind == "handler-error" and handlers.first_time(payload):
        raise PassingError
    if kind == "runtime-crashed" and handlers.first_time(payload):
        os.abort()
    if kind == "exhausted":
        raise FinalError("for good")
    if kind == "retry-too-late":
        raise LateError
    if kind == "exhausted-route":
        raise RescueError
    if kind == "canceled-in-call":
        await asyncio.Event().wait()
    if kind == "unserialisable":
        yield float("nan")
        return
    if kind == "invalid-route":
        yield "SET", ".route.next", ["x-sink"]
    if kind == "no-destination":
        yield "SET", ".route.next", ["nobody"]
    if kind == "pause-asked":
        yield "SET", ".headers.x-asya-pause", {"for": "input"}
    yield payload
    if kind in ("fan-out", "stream-failed"):
        yield payload
        yield payload
    if kind == "stream-failed":
        raise FinalError("after three results")


async def end(payload: Any, context: Any) -> Any:
    """x-sink and x-sump: write down what has come to its end, or fail, or go past a hook first."""
    stops.reached("during-call")
    kind = payload.get("kind") if isinstance(payload, dict) else None
    if kind == "sump-failed" or (kind == "sink-failed" and _ACTOR == "x-sink"):
        raise FinalError("this end fails")
    if kind == "sink-hooks-left" and "x-sink" not in context.route.prev:
        context.route.next = ["second", "x-sink"]
        return payload
    os.write(_RECORD, f"{_ACTOR} {context.id} {os.getpid()}\n".encode())
    return None
