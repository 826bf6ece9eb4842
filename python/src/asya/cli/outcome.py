"""Waiting for tasks, and telling how they ended."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from asya.cli.client import Client
from asya.cli.shared import print_json

_LOOK_SECONDS = 0.1
_ENDS = frozenset({"succeeded", "failed", "canceled", "paused"})


def wait_for(
    client: Client, task_id: str, *, everything: bool, show_events: bool = False, as_json: bool = False
) -> dict[str, Any]:
    """Wait until a task has ended or is paused, with `everything` its descendants too; return it.

    `show_events` prints what the handlers emit meanwhile, one JSON value a line (``{"event": "fly", "data": ...}`` with
    `as_json`).
    """
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
