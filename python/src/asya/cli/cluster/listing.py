"""The table of a cluster's actors."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import click

from asya.cli.cluster.actors import Actor

_HEADER = ("ACTOR", "PHASE", "TRANSPORT", "REPLICAS", "SCALE")
_STYLES = {"Ready": "green", "Degraded": "red"}


def records(actors: Sequence[Actor]) -> list[dict[str, Any]]:
    """Return the actors for JSON."""
    return [dataclasses.asdict(actor) for actor in actors]


def table(actors: Sequence[Actor]) -> Iterator[str]:
    """Yield a table; what is wrong with an actor is below its row."""
    rows = [_row(actor) for actor in actors]
    widths = [max(map(len, column)) for column in zip(_HEADER, *rows, strict=True)]
    yield click.style(_joined(_HEADER, widths), bold=True)
    for actor, row in zip(actors, rows, strict=True):
        yield click.style(_joined(row, widths), fg=_STYLES.get(actor.phase))
        for sentence in actor.wrong:
            yield click.style(textwrap.indent(sentence, "  "), fg="red")


def _row(actor: Actor) -> tuple[str, ...]:
    phase = "Deleting" if actor.leaving else actor.phase
    replicas = f"{actor.ready_replicas}/{actor.replicas}"
    return (actor.name, phase, actor.transport or "?", replicas, f"{actor.least}-{actor.most}")


def _joined(row: tuple[str, ...], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
