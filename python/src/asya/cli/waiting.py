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

_FIRST_SECONDS, _LOOK_SECONDS = 2.0, 1.0
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


@contextlib.contextmanager
def tells_what_holds_up(client: Client, task_id: str, *, as_json: bool) -> Iterator[None]:
    """Say on standard error meanwhile, once per reason, that the task is in the queue of an actor that cannot work."""
    done = threading.Event()
    arguments = (client, task_id, done, as_json)
    watcher = threading.Thread(target=_watch, args=arguments, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join(_JOIN_SECONDS)


def _watch(client: Client, task_id: str, done: threading.Event, as_json: bool) -> None:  # noqa: FBT001  a thread's target
    told: set[tuple[str, str]] = set()
    pause = _FIRST_SECONDS
    while not done.wait(pause):
        pause = _LOOK_SECONDS
        try:
            reasons = {actor["name"]: actor["reason"] for actor in client.actors()["actors"] if actor["reason"]}
            # Who asks for a task keeps `asya up --exit-when-idle` alive; so only where there may be something to say.
            found = place(client.trace(task_id)) if reasons.items() - told else None
        except AsyaError:
            return  # whoever waits for the task learns it too, and says so
        if found is None or found.actor not in reasons or done.is_set():
            continue
        reason = reasons[found.actor]
        if (found.actor, reason) not in told:
            told.add((found.actor, reason))
            _tell(task_id, found.actor, reason, as_json=as_json)


def _tell(task_id: str, actor: str, reason: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"waiting": {"id": task_id, "actor": actor, "reason": reason}}), err=True)
    else:
        click.echo(f"{task_id} waits in the queue of {actor}; {actor} cannot work: {reason}", err=True)
