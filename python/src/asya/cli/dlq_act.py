"""`asya dlq redrive` and `asya dlq drop`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asya.cli.dlq_options import Chosen, duration, which_ones, whose
from asya.cli.dlq_output import bar, end, open_audit, run, tell_result, tell_selected, warn
from asya.errors import AsyaError

if TYPE_CHECKING:
    import msgspec

    from asya.cli.dlq_letter import Letter, Query
    from asya.cli.dlq_mesh import Mesh


@click.command("redrive", no_args_is_help=True)
@click.argument("actor", metavar="ACTOR")
@click.argument("ids", metavar="[ID...]", nargs=-1)
@which_ones
@click.option("--edit", is_flag=True, help="Open the payload of one letter in $EDITOR first.")
@click.option("--payload", metavar="PAYLOAD", help="Replace the payload of one letter: JSON, @FILE, or -.")
@click.option("--timeout", metavar="5m", callback=duration, help="A new deadline, from now.")
@whose
def redrive(
    mesh: Mesh,
    actor: str,
    ids: tuple[str, ...],
    *,
    dry_run: bool,
    audit_file: Path | None,
    edit: bool,
    payload: str | None,
    timeout: float | None,
    output: str,
    **which: Any,  # noqa: ANN401  see Chosen
) -> None:
    """Send dead letters to their actor's queue again.

    Each gets all its attempts anew and keeps its id, route, headers and hop count. It is published and confirmed
    before it leaves the dead-letter queue: if this command dies in between, the message comes twice, never not at all
    (SQLite: one transaction, so not even twice).

    \b
    Examples:
      asya dlq redrive resize 4f0c... --edit
      asya dlq redrive resize --where reason=delivery-limit --dry-run
      asya dlq redrive resize --error-type 'Http*' --older-than 1h
      asya dlq redrive x-sump --all

    \b
    Exit status:
      0    all that was meant is redriven, or nothing was meant
      1    error; what is not done stays in the dead-letter queue
      2    wrong usage
      3    an ID is not there, or some were gone meanwhile or refused
      130  Ctrl-C; what is not done stays in the dead-letter queue
    """  # noqa: D301  click reads the real character
    from asya.cli import dlq_work  # noqa: PLC0415  not needed for --help

    if edit and payload is not None:
        raise click.UsageError("--edit and --payload both replace the payload: give one of them")
    if (edit or payload is not None) and len(ids) != 1:
        raise click.UsageError("--edit and --payload are for one ID")
    query = Chosen(ids=ids, **which).query()
    selected, missing = _select(mesh, actor, query, output)
    if (edit or payload is not None) and len(selected) > 1:
        raise AsyaError(f"{len(selected)} dead letters have the id {ids[0]}; they cannot be edited as one")
    if dry_run or not selected:
        tell_selected(selected, "would be redriven", output)
        end(missing)
    new = _new_payload(mesh, actor, selected[0], payload) if edit or payload is not None else None
    for letter in [letter for letter in selected if letter.deadline_over][:1] if timeout is None else []:
        click.echo(f"note: the deadline of {letter.id} is over, it will fail at once; see --timeout", err=True)
    change = dlq_work.Change(payload=new, deadline_at=None if timeout is None else time.time() + timeout)
    with open_audit(mesh, audit_file) as audit, bar("redriven", len(selected)) as step:
        result = run(dlq_work.redrive(mesh, actor, selected, change, audit, step))
    tell_result(result, "redriven", output, missing)


@click.command("drop", no_args_is_help=True)
@click.argument("actor", metavar="ACTOR")
@click.argument("ids", metavar="[ID...]", nargs=-1)
@which_ones
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@whose
def drop(
    mesh: Mesh,
    actor: str,
    ids: tuple[str, ...],
    *,
    dry_run: bool,
    audit_file: Path | None,
    yes: bool,
    output: str,
    **which: Any,  # noqa: ANN401  see Chosen
) -> None:
    """Delete dead letters for good.

    Asks first, unless --yes says not to.

    \b
    Examples:
      asya dlq drop resize 4f0c...
      asya dlq drop resize --older-than 30d --yes

    \b
    Exit status:
      0    all that was meant is dropped, or nothing was meant
      1    error, or not confirmed; what is not done stays in the dead-letter queue
      2    wrong usage
      3    an ID is not there, or some were gone meanwhile
      130  Ctrl-C; what is not done stays in the dead-letter queue
    """  # noqa: D301  click reads the real character
    from asya.cli import dlq_work  # noqa: PLC0415  not needed for --help

    query = Chosen(ids=ids, **which).query()
    selected, missing = _select(mesh, actor, query, output)
    if dry_run or not selected:
        tell_selected(selected, "would be dropped", output)
        end(missing)
    if not yes:
        if not sys.stdin.isatty() and output == "json":
            raise click.UsageError("with -o json nobody is asked: say --yes")
        click.confirm(f"Drop {len(selected)} dead letters of {actor} ({mesh.where}) for good?", abort=True, err=True)
    with open_audit(mesh, audit_file) as audit, bar("dropped", len(selected)) as step:
        result = run(dlq_work.drop(mesh, actor, selected, audit, step))
    tell_result(result, "dropped", output, missing)


def _select(mesh: Mesh, actor: str, query: Query, output: str) -> tuple[list[Letter], list[str]]:
    """Return the letters that are meant, and the IDs that are not there, which are told."""
    from asya.cli.dlq_work import select  # noqa: PLC0415  not needed for --help

    if output == "text":
        click.echo(mesh.where, err=True)
    selected = run(select(mesh, actor, query))
    missing = sorted(query.ids - {letter.id for letter in selected})
    for each in missing:
        warn(f"{actor} has no dead letter {each}; see: asya dlq show {actor}")
    return selected, missing


def _new_payload(mesh: Mesh, actor: str, letter: Letter, given: str | None) -> msgspec.Raw:
    """Return the payload that replaces the letter's: the given one, or what comes out of the editor."""
    from asya.cli.dlq_letter import envelope_of  # noqa: PLC0415  not needed for --help
    from asya.cli.dlq_tell import pretty  # noqa: PLC0415  as above
    from asya.cli.dlq_work import find  # noqa: PLC0415  as above
    from asya.cli.sending import read_payload  # noqa: PLC0415  as above

    if given is not None:
        return read_payload(given)
    body = run(find(mesh, actor, letter))
    envelope = None if body is None else envelope_of(body)
    if envelope is None:
        gone = f"the dead letter {letter.id} is gone meanwhile"
        raise AsyaError(gone if body is None else f"{letter.id} is no envelope: it has no payload to edit")
    text = click.edit(pretty(bytes(envelope.payload)), extension=".json")
    if text is None:
        raise AsyaError("the payload was not saved in the editor: nothing is redriven")
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8", delete=False) as file:
        file.write(text)
    try:
        found = read_payload(f"@{file.name}")
    except AsyaError as error:
        raise AsyaError(f"{error}; it is kept: mend it there, and redrive with --payload @{file.name}") from None
    Path(file.name).unlink()
    return found
