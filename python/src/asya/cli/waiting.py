"""Where a task waits, and a word to whoever waits for a task that cannot go on."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from asya.cli.client import Client
from asya.errors import AsyaError

FIRST_LOOK_SECONDS, NEXT_LOOK_SECONDS = 2.0, 1.0
_OPEN = frozenset({"pending", "running"})
# Longer than an answer from loopback takes; a server that hangs does not keep the command from ending.
_JOIN_SECONDS = 2.0


@dataclass(frozen=True)
class Place:
    """The queue of `actor` holds the task since `since` (RFC 3339); with `delay` it is a retry, in seconds."""

    actor: str
    since: str
    delay: float | None = None


def place(trace: dict[str, Any]) -> Place | None:
    """Tell in which queue a task is; None when it has ended, is being worked on, or cannot be told."""
    if trace["status"] not in _OPEN:
        return None
    if not trace["hops"]:
        return Place(trace["actor"], trace["created_at"]) if trace["actor"] else None
    last = trace["hops"][-1]
    if last["status"] == "retrying":
        return Place(last["actor"], last["ended_at"], last["delay_s"])
    if last["status"] == "completed" and len(set(last["to"])) == 1:
        return Place(last["to"][0], last["ended_at"])
    return None


class HoldUps:
    """Says on standard error, once per reason, that a task is in the queue of an actor that cannot work."""

    def __init__(self, client: Client, *, as_json: bool) -> None:
        self._client, self._as_json = client, as_json
        self._told: set[tuple[str, str]] = set()

    def look(self, task_id: str) -> None:
        """Look at one task that somebody waits for.

        Raises:
            AsyaError: `asya up` does not answer.
        """
        reasons = {actor["name"]: actor["reason"] for actor in self._client.actors()["actors"] if actor["reason"]}
        # Who asks for a task keeps `asya up --exit-when-idle` alive; so only where there may be something to say.
        if not reasons.items() - self._told:
            return
        found = place(self._client.trace(task_id))
        if found is None or found.actor not in reasons or (found.actor, reasons[found.actor]) in self._told:
            return
        reason = reasons[found.actor]
        self._told.add((found.actor, reason))
        if self._as_json:
            told = {"waiting": {"id": task_id, "actor": found.actor, "reason": reason}}
            click.echo(json.dumps(told, ensure_ascii=False), err=True)
        else:
            text = f"{task_id} waits in the queue of {found.actor}; {found.actor} cannot work: {reason}"
            click.echo(text, err=True)


@contextlib.contextmanager
def tells_what_holds_up(client: Client, task_id: str, *, as_json: bool) -> Iterator[None]:
    """Look for hold-ups in the background while somebody waits for a task's events."""
    done = threading.Event()
    hold_ups = HoldUps(client, as_json=as_json)

    def watch() -> None:
        pause = FIRST_LOOK_SECONDS
        # Once it does not answer, whoever waits for the task learns it too, and says so.
        with contextlib.suppress(AsyaError):
            while not done.wait(pause):
                pause = NEXT_LOOK_SECONDS
                hold_ups.look(task_id)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join(_JOIN_SECONDS)
