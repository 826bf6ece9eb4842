"""`asya ps`: actors with their replicas and queues."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from asya.cli.client import Client
from asya.cli.shared import output_option, print_json, state_option, tells_errors

_WIDEST = 4000


@click.command("ps")
@state_option
@output_option
@tells_errors
def command(state: Path, output: str) -> None:
    """List actors: replicas, queues, what is wrong.

    REPLICAS is ready/running/wanted. QUEUED messages wait, FLYING ones are being worked on, DELAYED ones wait for a
    retry, DEAD ones are in the dead-letter queue. REASON says why an actor cannot work.

    Exit status: 0 listed, 1 no `asya up` runs there, 2 wrong usage.
    """
    with Client(state) as client:
        answer = client.actors()
    if output == "json":
        print_json(answer)
    else:
        _print(answer["actors"])


def _print(actors: list[dict[str, Any]]) -> None:
    from rich.console import Console  # noqa: PLC0415  not needed for JSON
    from rich.table import Table  # noqa: PLC0415  as above
    from rich.text import Text  # noqa: PLC0415  as above

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("ACTOR", no_wrap=True)
    for name in ("REPLICAS", "SCALE", "QUEUED", "FLYING", "DELAYED", "DEAD"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("REASON", overflow="ellipsis", no_wrap=True)
    for actor in actors:
        depth = actor["depth"]
        counts = [_count(depth[name]) for name in ("ready", "in_flight", "delayed", "dead")]
        replicas = f"{actor['ready']}/{actor['replicas']}/{actor['desired']}"
        row = [actor["name"], replicas, f"{actor['min']}-{actor['max']}", *counts]
        table.add_row(*(Text(cell) for cell in row), Text(actor["reason"], style="red"))
    console = Console()
    # In a file or a pipe nothing is cut.
    if not console.is_terminal:
        console.width = _WIDEST
    console.print(table)


def _count(number: int | None) -> str:
    return "?" if number is None else str(number)
