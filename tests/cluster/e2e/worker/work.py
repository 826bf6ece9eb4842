"""Handlers of the actors that the tests make. They run in pods, with whatever Python the image has."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any, Dict, Iterator  # noqa: UP035  also for a Python of an image, which may be old

Payload = Dict[str, Any]  # noqa: UP006
MARKS = Path("/marks")


def work(payload: Payload) -> Payload:
    """Take `ms` milliseconds; tell who did it, in which version, and when it began."""
    began = time.time()
    time.sleep(payload["ms"] / 1000)
    done = {"by": socket.gethostname(), "version": os.environ["VERSION"], "handler": "work", "began": began}
    return {**payload, "calls": [*payload.get("calls", []), {**done, "ended": time.time()}]}


def other(payload: Payload) -> Payload:
    """The same under another name, for changing the handler."""
    done = work(payload)
    done["calls"][-1]["handler"] = "other"
    return done


def hungry(payload: Payload) -> Payload:
    """At the first call with `eat`, use up more memory than the container may; the mark outlives the process."""
    mark = MARKS / str(payload["n"])
    if payload.get("eat") and not mark.exists():
        mark.touch()
        eaten = []
        while True:
            eaten.append(bytearray(os.urandom(4 << 20)))
    return work(payload)


class RefusedError(Exception):
    """The message is to be tried again."""


def later(payload: Payload) -> Iterator[Any]:
    """Refuse the first attempts, as many as `refusals` says."""
    attempt = yield "GET", ".status.attempt"
    if attempt <= payload.get("refusals", 0):
        raise RefusedError(attempt)
    yield work(payload)
