"""`asya dlq`: dead letters of actors: look, redrive, drop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
from click.core import ParameterSource

from asya.cli.cluster.options import Choice, mesh_options
from asya.cli.shared import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_NOT_SUCCEEDED, output_option, print_json, tells_errors
from asya.errors import AsyaError, NoDestinationError, PolicyError
from asya.policy import parse_duration

if TYPE_CHECKING:
    import msgspec

    from asya.cli.dlq_audit import Audit
    from asya.cli.dlq_letter import Letter, Query
    from asya.cli.dlq_mesh import Mesh
    from asya.cli.dlq_tell import Summary
    from asya.cli.dlq_work import Result
    from asya.transports import Transport

F = TypeVar("F", bound=Callable[..., object])
T = TypeVar("T")
_TRANSPORTS = ("sqlite", "rabbitmq", "sqs", "pubsub", "redis")
_WHERE = ("reason", "error-type", "error-message", "from", "parent-id")
_SHOWN = 20
_RUNNER = "asya.cli.dlq.runner"


def _duration(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:  # noqa: ARG001  click's signature
    try:
        return None if text is None else parse_duration(text)
    except PolicyError as error:
        raise click.BadParameter(str(error)) from None


def _conditions(
    context: click.Context,  # noqa: ARG001  click's signature
    parameter: click.Parameter,  # noqa: ARG001  as above
    pairs: tuple[str, ...],
) -> tuple[tuple[str, str], ...]:
    found = []
    for pair in pairs:
        name, equals, pattern = pair.partition("=")
        if not equals or name not in _WHERE:
            raise click.BadParameter(f"{pair!r} is not NAME=PATTERN with one of {', '.join(_WHERE)}")
        found.append((name, pattern))
    return tuple(found)


def _whose(command: F) -> F:
    """Add the options that say whose dead letters, and turn them into `mesh`."""

    @functools.wraps(command)
    def chosen(*, state: Path, cluster: Choice | None, transport: str | None, **given: Any) -> object:  # noqa: ANN401  of any command
        from asya.cli.dlq_mesh import find_mesh  # noqa: PLC0415  not needed for --help

        source = click.get_current_context().get_parameter_source
        if any(source(name) is ParameterSource.COMMANDLINE for name in ("context", "kubeconfig")):
            if source("transport") is ParameterSource.COMMANDLINE:
                raise click.UsageError("--transport is a broker without its cluster, --context a cluster: give one")
            transport = None
        return command(mesh=find_mesh(state, cluster, transport), **given)

    option = click.option(
        "--transport",
        type=click.Choice(_TRANSPORTS),
        envvar="ASYA_TRANSPORT",
        show_envvar=True,
        help="Ask this broker, reached by the variables that a sidecar reads (ASYA_RABBITMQ_*, ASYA_SQS_*, ...), in "
        "--namespace or ASYA_NAMESPACE.",
    )
    # Errors of finding it are told as all others are.
    return output_option(mesh_options(option(tells_errors(chosen))))  # type: ignore[return-value,arg-type]


def _which(command: F) -> F:
    """Add the options of a query, and --dry-run and --audit."""
    options = [
        click.option("--all", "everything", is_flag=True, help="All dead letters of the actor."),
        click.option(
            "--where",
            metavar="NAME=PATTERN",
            multiple=True,
            callback=_conditions,
            help=f"Those whose NAME ({', '.join(_WHERE)}) matches a pattern such as 'Http*' (repeatable: all must).",
        ),
        click.option("--error-type", metavar="TYPE", help="The same as --where error-type=TYPE."),
        click.option("--older-than", metavar="2h", callback=_duration, help="Those that have been dead for longer."),
        click.option("--dry-run", is_flag=True, help="Say which ones are meant; change nothing."),
        click.option(
            "--audit",
            "audit_file",
            metavar="FILE",
            type=click.Path(path_type=Path, dir_okay=False),
            envvar="ASYA_AUDIT_FILE",
            show_envvar=True,
            help="Append a JSON line for each action. When absent: audit.jsonl in the state folder of an `asya up`, "
            "else standard error.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """What `_which` was given."""

    ids: tuple[str, ...]
    everything: bool
    where: tuple[tuple[str, str], ...]
    error_type: str | None
    older_than: float | None

    def query(self) -> Query:
        """Return what is meant.

        Raises:
            click.UsageError: Nothing is, or two things are.
        """
        from asya.cli.dlq_letter import Query  # noqa: PLC0415  not needed for --help

        where = (*self.where, *((("error-type", self.error_type),) if self.error_type is not None else ()))
        narrowed = bool(where) or self.older_than is not None
        if self.everything and (self.ids or narrowed):
            raise click.UsageError("--all means all of them: it goes with neither IDs nor conditions")
        if not (self.everything or self.ids or narrowed):
            raise click.UsageError("say which ones: IDs, --where, --error-type, --older-than, or --all")
        return Query(ids=frozenset(self.ids), where=where, older_than=self.older_than)


@click.group("dlq", no_args_is_help=True)
def command() -> None:
    """Look at dead letters, send them on their way again, or drop them.

    A dead letter is a message that nothing more was done with: it was delivered too often without an answer
    (delivery-limit), was too large to be handed on (too-large), or x-sump itself could not keep it (sump-failed).
    Messages whose handler failed for good are not here: they go to x-sink, and so to their task's outcome.

    Whose dead letters: of the `asya up` here, running or not; of a cluster, with --namespace, --context or
    --kubeconfig; of any broker, with --transport.

    \b
    Examples:
      asya dlq list
      asya dlq show resize
      asya dlq redrive resize --where reason=delivery-limit --dry-run
      asya dlq drop resize --older-than 30d

    Exit status: 0 done; 1 error; 2 wrong usage; 3 not all of what was named was done; 130 Ctrl-C.
    """  # noqa: D301  click reads the real character


@command.command("list")
@click.argument("actors", metavar="[ACTOR...]", nargs=-1)
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Look at so many of each actor at most; where there are more, the count has a +.",
)
@_whose
def list_(mesh: Mesh, actors: tuple[str, ...], limit: int, output: str) -> None:
    """Count dead letters: per actor, with their reasons and the age of the oldest.

    Of all actors without ACTOR. Where messages have to be received to be looked at (all but SQLite), they are hidden
    from others for that moment, and given back.

    Exit status: 0 listed, 1 error (of some actors only: the others are listed), 2 wrong usage.
    """
    found, problems = _run(_summaries(mesh, actors, limit))
    if problems and not found:
        raise AsyaError("; ".join(dict.fromkeys(problems)))
    for problem in dict.fromkeys(problems):
        _warn(problem)
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


@command.command("show", no_args_is_help=True)
@click.argument("actor", metavar="ACTOR")
@click.argument("letter_id", metavar="[ID]", required=False)
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="List so many at most.")
@_whose
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

    found, more = _run(look())
    if letter_id is not None and not found:
        _warn(f"{actor} has no dead letter {letter_id}; see: asya dlq show {actor}")
        _end([letter_id])
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


@command.command("redrive", no_args_is_help=True)
@click.argument("actor", metavar="ACTOR")
@click.argument("ids", metavar="[ID...]", nargs=-1)
@_which
@click.option("--edit", is_flag=True, help="Open the payload of one letter in $EDITOR first.")
@click.option("--payload", metavar="PAYLOAD", help="Replace the payload of one letter: JSON, @FILE, or -.")
@click.option("--timeout", metavar="5m", callback=_duration, help="A new deadline, from now.")
@_whose
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
    **which: Any,  # noqa: ANN401  see _Chosen
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
    query = _Chosen(ids=ids, **which).query()
    selected, missing = _select(mesh, actor, query, output)
    if (edit or payload is not None) and len(selected) > 1:
        raise AsyaError(f"{len(selected)} dead letters have the id {ids[0]}; they cannot be edited as one")
    if dry_run or not selected:
        _tell_selected(selected, "would be redriven", output)
        _end(missing)
    new = _new_payload(mesh, actor, selected[0], payload) if edit or payload is not None else None
    for letter in [letter for letter in selected if letter.deadline_over][:1] if timeout is None else []:
        click.echo(f"note: the deadline of {letter.id} is over, it will fail at once; see --timeout", err=True)
    change = dlq_work.Change(payload=new, deadline_at=None if timeout is None else time.time() + timeout)
    with _audit(mesh, audit_file) as audit, _bar("redriven", len(selected)) as step:
        result = _run(dlq_work.redrive(mesh, actor, selected, change, audit, step))
    _tell_result(result, "redriven", output, missing)


@command.command("drop", no_args_is_help=True)
@click.argument("actor", metavar="ACTOR")
@click.argument("ids", metavar="[ID...]", nargs=-1)
@_which
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@_whose
def drop(
    mesh: Mesh,
    actor: str,
    ids: tuple[str, ...],
    *,
    dry_run: bool,
    audit_file: Path | None,
    yes: bool,
    output: str,
    **which: Any,  # noqa: ANN401  see _Chosen
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

    query = _Chosen(ids=ids, **which).query()
    selected, missing = _select(mesh, actor, query, output)
    if dry_run or not selected:
        _tell_selected(selected, "would be dropped", output)
        _end(missing)
    if not yes:
        if not sys.stdin.isatty() and output == "json":
            raise click.UsageError("with -o json nobody is asked: say --yes")
        click.confirm(f"Drop {len(selected)} dead letters of {actor} ({mesh.where}) for good?", abort=True, err=True)
    with _audit(mesh, audit_file) as audit, _bar("dropped", len(selected)) as step:
        result = _run(dlq_work.drop(mesh, actor, selected, audit, step))
    _tell_result(result, "dropped", output, missing)


def _select(mesh: Mesh, actor: str, query: Query, output: str) -> tuple[list[Letter], list[str]]:
    """Return the letters that are meant, and the IDs that are not there, which are told."""
    from asya.cli.dlq_work import select  # noqa: PLC0415  not needed for --help

    if output == "text":
        click.echo(mesh.where, err=True)
    selected = _run(select(mesh, actor, query))
    missing = sorted(query.ids - {letter.id for letter in selected})
    for each in missing:
        _warn(f"{actor} has no dead letter {each}; see: asya dlq show {actor}")
    return selected, missing


def _new_payload(mesh: Mesh, actor: str, letter: Letter, given: str | None) -> msgspec.Raw:
    """Return the payload that replaces the letter's: the given one, or what comes out of the editor."""
    from asya.cli.dlq_letter import envelope_of  # noqa: PLC0415  not needed for --help
    from asya.cli.dlq_tell import pretty  # noqa: PLC0415  as above
    from asya.cli.dlq_work import find  # noqa: PLC0415  as above
    from asya.cli.sending import read_payload  # noqa: PLC0415  as above

    if given is not None:
        return read_payload(given)
    body = _run(find(mesh, actor, letter))
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


def _audit(mesh: Mesh, file: Path | None) -> Audit:
    from asya.cli.dlq_audit import Audit  # noqa: PLC0415  not needed for --help

    return Audit(file or mesh.audit, transport=mesh.transport, namespace=mesh.namespace)


@contextlib.contextmanager
def _bar(verb: str, total: int) -> Iterator[Callable[[], None]]:
    from asya.cli.sending import progress  # noqa: PLC0415  not needed for --help

    with progress() as bar:
        step = bar.add_task(verb, total=total, visible=total > 1)
        yield lambda: bar.advance(step)


def _run(work: Coroutine[Any, Any, T]) -> T:
    context = click.get_current_context()
    # One loop for the whole command: gRPC does not outlive the one it began with.
    runner: asyncio.Runner = context.meta.get(_RUNNER) or context.with_resource(asyncio.Runner())
    context.meta[_RUNNER] = runner
    try:
        return runner.run(work)
    except KeyboardInterrupt:
        click.echo("\nstopped; what is not done stays in the dead-letter queue", err=True)
        sys.exit(EXIT_INTERRUPTED)


def _tell_selected(selected: Sequence[Letter], verb: str, output: str) -> None:
    from asya.cli.dlq_tell import letters  # noqa: PLC0415  not needed for --help

    if output == "json":
        print_json({"dry_run": True, "letters": [letter.record() for letter in selected]})
        return
    for line in letters(selected[:_SHOWN]) if selected else ():
        click.echo(line)
    more = f", {len(selected) - _SHOWN} of them not shown" if len(selected) > _SHOWN else ""
    click.echo(f"{len(selected)} {verb}{more}", err=True)


def _tell_result(result: Result, verb: str, output: str, missing: Sequence[str]) -> NoReturn:
    if output == "json":
        failed = [
            {"id": letter.id, "error": {"code": error.code, "message": str(error)}} for letter, error in result.failed
        ]
        done = {verb: [letter.id for letter in result.done], "gone": [letter.id for letter in result.gone]}
        print_json({**done, "failed": failed, "missing": list(missing)})
    else:
        for letter, error in result.failed:
            _warn(f"{letter.id} stays: {error}")
        if result.gone:
            _warn(f"{len(result.gone)} were gone meanwhile: somebody else has taken them, or is looking at them")
        click.echo(f"{len(result.done)} {verb}")
    _end(missing or result.gone or result.failed)


def _end(undone: Sequence[object]) -> NoReturn:
    sys.exit(EXIT_NOT_SUCCEEDED if undone else 0)


def _warn(text: str) -> None:
    click.echo(f"{click.style('warning:', fg='yellow')} {text}", err=True)
