"""Waiting for tasks, and telling how they ended."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import click

from asya.cli.client import Client
from asya.cli.shared import EXIT_INTERRUPTED, print_json
from asya.cli.waiting import tells_what_holds_up

_LOOK_SECONDS = 0.1
_NAMED = 5
_ENDS = frozenset({"succeeded", "failed", "canceled", "paused"})


def wait_for(
    client: Client, task_id: str, *, everything: bool, show_events: bool = False, as_json: bool = False
) -> dict[str, Any]:
    """Wait until a task has ended or is paused, with `everything` its descendants too; return it.

    `show_events` prints what the handlers emit meanwhile, one JSON value a line (``{"event": "fly", "data": ...}`` with
    `as_json`).
    """
    with tells_what_holds_up(client, task_id, as_json=as_json):
        for kind, data in client.events(task_id):
            if kind == "fly" and show_events:
                shown = {"event": "fly", "data": data} if as_json else data
                click.echo(json.dumps(shown, ensure_ascii=False))
            if kind == "status" and data["status"] == "paused":
                break  # it may stay so for days
    task = client.task(task_id)
    while everything and task["children"]["open"]:
        time.sleep(_LOOK_SECONDS)
        task = client.task(task_id)
    return task


@contextlib.contextmanager
def tells_what_goes_on(*task_ids: str) -> Iterator[None]:
    """Turn Ctrl-C while waiting into a word about what goes on without us, and exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        if len(task_ids) == 1:
            text = f"{task_ids[0]} goes on; asya trace {task_ids[0]} / asya cancel {task_ids[0]}"
        else:
            ids = ", ".join(task_ids[:_NAMED]) + (", …" if len(task_ids) > _NAMED else "")
            text = f"what has not ended of {len(task_ids)} tasks goes on ({ids}); asya trace ID / asya cancel ID"
        click.echo(f"\n{text}", err=True)
        sys.exit(EXIT_INTERRUPTED)


def has_ended(task: dict[str, Any], *, everything: bool) -> bool:
    """Tell whether there is nothing more to wait for."""
    return task["status"] in _ENDS and not (everything and task["children"]["open"])


def show_outcome(task: dict[str, Any], *, as_json: bool) -> None:
    """Print result and status of one task."""
    if as_json:
        print_json(task)
        return
    if task["result"] is not None:
        click.echo(json.dumps(task["result"], ensure_ascii=False, indent=2))
    click.echo(describe(task), err=True)
    traceback = (task["error"] or {}).get("traceback")
    if traceback:
        click.echo(traceback.rstrip(), err=True)


def describe(task: dict[str, Any]) -> str:
    """Say in a line how a task ended."""
    text = f"{task['id']} {task['status']}"
    if task["status"] != "succeeded":
        text += f" at {task['actor']}" if task["actor"] else ""
        text += f" ({task['reason']})" if task["reason"] else ""
        error = task["error"]
        text += f": {error.get('type', 'error')}: {error.get('message', '')}" if error else ""
    children = task["children"]
    if children["total"]:
        counts = [f"{children[name]} {name}" for name in ("succeeded", "failed", "canceled", "open") if children[name]]
        text += f"; fanned out into {children['total']}: {', '.join(counts)}"
    return text
