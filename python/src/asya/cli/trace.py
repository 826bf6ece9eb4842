"""`asya trace`: every hop of a task and of its descendants, as a tree."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asya.cli.client import Client
from asya.cli.cluster.options import Choice, mesh_options, only_local
from asya.cli.shared import output_option, print_json, tells_errors
from asya.cli.waiting import place

if TYPE_CHECKING:
    from rich.tree import Tree

_STYLES = {"succeeded": "green", "failed": "red", "canceled": "yellow", "paused": "yellow"}


@click.command("trace")
@click.argument("task_id", metavar="ID")
@output_option
@mesh_options
@tells_errors
def command(task_id: str, state: Path, cluster: Choice | None, output: str) -> None:
    """Show every hop of a task and of what it fanned out into.

    Of an `asya up` on this machine: in a cluster the gateway will know, which is not there yet.

    For each hop: seconds since the task began, actor, attempt, how long the call took, what became of it (the id of
    the row in the truth table), where the result went, and the error of a failed attempt. A task that goes on shows
    its age, and the queue it waits in.

    Exit status: 0 shown, 1 there is no such task or no `asya up`, 2 wrong usage, such as a cluster's task.
    """
    only_local(cluster, "`asya trace`")
    with Client(state) as client:
        trace = client.trace(task_id)
    if output == "json":
        print_json(trace)
        return
    from rich.console import Console  # noqa: PLC0415  not needed for JSON

    Console(soft_wrap=True).print(_tree(trace, _seconds(trace["created_at"])))


def _tree(trace: dict[str, Any], start: float, parent: Tree | None = None) -> Tree:
    from rich.text import Text  # noqa: PLC0415  not needed for JSON
    from rich.tree import Tree  # noqa: PLC0415  as above

    head = Text(trace["id"], style="bold")
    head.append(f"  {trace['status']}", style=_STYLES.get(trace["status"], "cyan"))
    if trace["reason"]:
        head.append(f" ({trace['reason']})")
    is_open = trace["status"] in ("pending", "running")
    until = time.time() if is_open else _seconds(trace["updated_at"])
    head.append(f"  {until - _seconds(trace['created_at']):.2f} s", style="dim")
    tree = Tree(head) if parent is None else parent.add(head)
    for hop in trace["hops"]:
        node = tree.add(Text.assemble(*_hop(hop, start)))
        if hop["error"]:
            node.add(Text(_error(hop["error"]), style="red"))
    if found := place(trace):
        what = f"waits in the queue of {found.actor}" if found.delay is None else f"waits for a retry at {found.actor}"
        tree.add(Text(f"{what} for {time.time() - _seconds(found.since):.2f} s", style="cyan"))
    if trace["error"] and not any(hop["error"] for hop in trace["hops"]):
        tree.add(Text(_error(trace["error"]), style="red"))
    for child in trace["children"]:
        _tree(child, start, tree)
    return tree


def _hop(hop: dict[str, Any], start: float) -> list[tuple[str, str]]:
    began = hop["started_at"] or hop["ended_at"]
    parts = [(f"+{_seconds(began) - start:.3f} s  " if began else "", "dim"), (hop["actor"], "bold")]
    if hop["attempt"] > 1 or hop["status"] == "retrying":
        parts.append((f"  attempt {hop['attempt']}", "yellow"))
    if hop["deliveries"] > 1:
        parts.append((f"  delivered {hop['deliveries']} times", "yellow"))
    if hop["duration_ms"] is not None:
        parts.append((f"  {hop['duration_ms']:.1f} ms", ""))
    outcome = hop["row"] or ("running" if hop["status"] == "processing" else hop["status"])
    parts.append((f"  {outcome}", "cyan" if hop["status"] == "processing" else ""))
    if hop["status"] == "retrying" and hop["delay_s"] is not None:
        parts.append((f", again after {hop['delay_s']:.1f} s", "yellow"))
    elif hop["to"]:
        parts.append((f" → {', '.join(hop['to'])}", ""))
    return parts


def _error(error: dict[str, Any]) -> str:
    return f"{error.get('type', 'error')}: {error.get('message', '')}"


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
