"""`asya cancel`: stop a task and everything it fanned out into."""

from __future__ import annotations

from pathlib import Path

import click

from asya.cli.client import Client
from asya.cli.cluster.options import Choice, mesh_options, only_local
from asya.cli.shared import output_option, print_json, tells_errors


@click.command("cancel")
@click.argument("task_id", metavar="ID")
@output_option
@mesh_options
@tells_errors
def command(task_id: str, state: Path, cluster: Choice | None, output: str) -> None:
    """Cancel a task and all its descendants.

    Of an `asya up` on this machine: in a cluster the gateway will do it, which is not there yet.

    A call under way is cancelled when it is async; a worker process that runs a plain function is replaced. What has
    ended already stays as it is.

    Exit status: 0 nothing of it goes on, 1 there is no such task or no `asya up`, 2 wrong usage, such as
    a cluster's task.
    """
    only_local(cluster, "`asya cancel`")
    with Client(state) as client:
        client.cancel(task_id)
        task = client.task(task_id)
    if output == "json":
        print_json(task)
        return
    word = "canceled" if task["status"] == "canceled" else f"had ended before ({task['status']})"
    children = task["children"]
    more = f"; descendants: {children['canceled']} canceled of {children['total']}" if children["total"] else ""
    click.echo(f"{task_id} {word}{more}")
