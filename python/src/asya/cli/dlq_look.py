"""`asya dlq list` and `asya dlq show`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import click

from asya.cli.dlq_options import whose
from asya.cli.dlq_output import end, run, warn
from asya.cli.shared import EXIT_ERROR, print_json
from asya.errors import AsyaError, NoDestinationError

if TYPE_CHECKING:
    from asya.cli.dlq_letter import Letter
    from asya.cli.dlq_mesh import Mesh
    from asya.cli.dlq_tell import Summary
    from asya.transports import Transport


@click.command("list")
@click.argument("actors", metavar="[ACTOR...]", nargs=-1)
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Look at so many of each actor at most; where there are more, the count has a +.",
)
@whose
def list_(mesh: Mesh, actors: tuple[str, ...], limit: int, output: str) -> None:
    """Count dead letters: per actor, with their reasons and the age of the oldest.

    Of all actors without ACTOR. Where messages have to be received to be looked at (all but SQLite), they are hidden
    from others for that moment, and given back.

    Exit status: 0 listed, 1 error (of some actors only: the others are listed), 2 wrong usage.
    """
    found, problems = run(_summaries(mesh, actors, limit))
    if problems and not found:
        raise AsyaError("; ".join(dict.fromkeys(problems)))
    for problem in dict.fromkeys(problems):
        warn(problem)
    if output == "json":
        print_json({"namespace": mesh.namespace, "actors": [one.record() for one in found]})
    else:
        _show_summaries(mesh, found, everybody=not actors)
    sys.exit(EXIT_ERROR if problems else 0)


def _show_summaries(mesh: Mesh, found: Sequence[Summary], *, everybody: bool) -> None:
    from asya.cli import dlq_tell  # noqa: PLC0415  not needed for --help

    click.echo(mesh.where, err=True)
    dead = [one for one in found if one.count or not everybody]
    if not dead:
        click.echo(f"no dead letters; actors: {', '.join(one.actor for one in found) or 'none'}", err=True)
        return
    for line in dlq_tell.summaries(dead):
        click.echo(line)


async def _summaries(mesh: Mesh, actors: Sequence[str], limit: int) -> tuple[list[Summary], list[str]]:
    """Return what is in the queues, and what keeps some from being looked at; one connection for all that share it."""
    names = sorted(actors or await mesh.actors(), key=lambda actor: (mesh.group(actor), actor))
    found: list[Summary] = []
    problems: list[str] = []
    for _, group in groupby(names, mesh.group):
        together = list(group)
        try:
            async with mesh.opened(together[0]) as transport:
                for actor in together:
                    try:
                        found.append(await _summary(transport, actor, limit))
                    except NoDestinationError as error:
                        problems.append(str(error))
        except AsyaError as error:
            problems.append(f"{', '.join(together)}: {error}" if len(names) > 1 else str(error))
    return sorted(found, key=lambda one: one.actor), problems


async def _summary(transport: Transport, actor: str, limit: int) -> Summary:
    from asya.cli.dlq_tell import Summary  # noqa: PLC0415  not needed for --help
    from asya.cli.dlq_work import browse_on  # noqa: PLC0415  as above

    found = Summary(actor)
    async with contextlib.aclosing(browse_on(transport, actor)) as letters:
        async for letter, _ in letters:
            if found.count == limit:
                found.more = True
                break
            found.add(letter)
    return found


@click.command("show", no_args_is_help=True)
@click.argument("actor", metavar="ACTOR")
@click.argument("letter_id", metavar="[ID]", required=False)
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="List so many at most.")
@whose
def show(mesh: Mesh, actor: str, letter_id: str | None, limit: int, output: str) -> None:
    """Show an actor's dead letters, or everything about one of them.

    With ID: where it came from, why it is dead, what the broker says of it, and its payload. A copy that was delivered
    twice has the same ID; all copies are shown.

    Exit status: 0 shown, 1 error, 2 wrong usage, 3 there is no dead letter of that ID.
    """
    from asya.cli import dlq_tell  # noqa: PLC0415  not needed for --help
    from asya.cli.dlq_work import browse  # noqa: PLC0415  as above

    async def look() -> tuple[list[tuple[Letter, bytes]], bool]:
        found: list[tuple[Letter, bytes]] = []
        async with contextlib.aclosing(browse(mesh, actor)) as letters:
            async for letter, body in letters:
                if letter_id not in (None, letter.id):
                    continue
                if letter_id is None and len(found) == limit:
                    return found, True
                found.append((letter, body if letter_id is not None else b""))
        return found, False

    found, more = run(look())
    if letter_id is not None and not found:
        warn(f"{actor} has no dead letter {letter_id}; see: asya dlq show {actor}")
        end([letter_id])
    if output == "json":
        shown = [dlq_tell.record(*each) if letter_id is not None else each[0].record() for each in found]
        print_json({"namespace": mesh.namespace, "actor": actor, "more": more, "letters": shown})
    elif letter_id is None:
        for line in dlq_tell.letters([letter for letter, _ in found]):
            click.echo(line)
        if more:
            click.echo(f"there are more than {limit}; see --limit", err=True)
    else:
        for each in found:
            for line in dlq_tell.whole(*each):
                click.echo(line)
