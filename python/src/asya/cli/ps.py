"""`asya ps`: actors with their replicas and queues."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from asya.cli.client import Client
from asya.cli.shared import output_option, print_json, server_option, tells_errors

_HEADER = ("ACTOR", "REPLICAS", "SCALE", "QUEUED", "FLYING", "DELAYED", "DEAD")


@click.command("ps")
@server_option
@output_option
@tells_errors
def command(state: Path, output: str) -> None:
    """List actors: replicas, queues, what is wrong.

    REPLICAS is ready/running/wanted. QUEUED messages wait, FLYING ones are being worked on, DELAYED ones wait for a
    retry, DEAD ones are in the dead-letter queue. The line below an actor, if there is one, says why it cannot work.

    Exit status: 0 listed, 1 no `asya up` runs there, 2 wrong usage.
    """
    with Client(state) as client:
        answer = client.actors()
    if output == "json":
        print_json(answer)
        return
    for line in table(answer["actors"]):
        click.echo(line)


def table(actors: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a table; a reason of any length is below its row, so that it never narrows a column."""
    rows = [_row(actor) for actor in actors]
    widths = [max(map(len, column)) for column in zip(_HEADER, *rows, strict=True)]
    yield click.style(_joined(_HEADER, widths), bold=True)
    for actor, row in zip(actors, rows, strict=True):
        yield _joined(row, widths)
        if actor["reason"]:
            yield click.style(textwrap.indent(actor["reason"], "  "), fg="red")


def _joined(row: tuple[str, ...], widths: list[int]) -> str:
    name, *numbers = row
    cells = (number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True))
    return "  ".join([name.ljust(widths[0]), *cells])


def _row(actor: dict[str, Any]) -> tuple[str, ...]:
    counts = (_count(actor["depth"][name]) for name in ("ready", "in_flight", "delayed", "dead"))
    replicas = f"{actor['ready']}/{actor['replicas']}/{actor['desired']}"
    return (actor["name"], replicas, f"{actor['min']}-{actor['max']}", *counts)


def _count(number: int | None) -> str:
    return "?" if number is None else str(number)
