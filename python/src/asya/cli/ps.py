"""`asya ps`: actors with their replicas and queues."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from asya.cli.client import Client
from asya.cli.cluster.options import Choice, mesh_options
from asya.cli.shared import output_option, print_json, tells_errors

_HEADER = ("ACTOR", "REPLICAS", "SCALE", "QUEUED", "FLYING", "DELAYED", "DEAD")


@click.command("ps")
@output_option
@mesh_options
@tells_errors
def command(state: Path, cluster: Choice | None, output: str) -> None:
    """List actors: replicas, queues, what is wrong.

    Of an `asya up` on this machine, or of a cluster: when --namespace, --context or --kubeconfig is given, or when
    there is no `asya up` here but a kubeconfig.

    On this machine REPLICAS is ready/running/wanted. QUEUED messages wait, FLYING ones are being worked on, DELAYED
    ones wait for a retry, DEAD ones are in the dead-letter queue. The line below an actor, if there is one, says why
    it cannot work.

    In a cluster PHASE is the actor's own word, and REPLICAS is ready/running. Each line below an actor is a condition
    that is not as it should be.

    \b
    Examples:
      asya ps
      asya ps --namespace hello
      asya ps -n shop --context production -o json

    Exit status: 0 listed, 1 no `asya up` runs there or the cluster cannot be asked, 2 wrong usage.
    """  # noqa: D301  click reads the real character
    if cluster is not None:
        from asya.cli.ps_cluster import show  # noqa: PLC0415  pydantic is for clusters only

        show(cluster, as_json=output == "json")
        return
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
