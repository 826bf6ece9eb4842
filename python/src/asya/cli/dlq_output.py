"""How `asya dlq` carries its work out and tells of it: one loop, a progress bar, results, exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from asya.cli.shared import EXIT_INTERRUPTED, EXIT_NOT_SUCCEEDED, print_json

if TYPE_CHECKING:
    from asya.cli.dlq_audit import Audit
    from asya.cli.dlq_letter import Letter
    from asya.cli.dlq_mesh import Mesh
    from asya.cli.dlq_work import Result

T = TypeVar("T")
_SHOWN = 20
_RUNNER = "asya.cli.dlq.runner"


def open_audit(mesh: Mesh, file: Path | None) -> Audit:
    """Open the audit: that file, else the mesh's own, else standard error."""
    from asya.cli.dlq_audit import Audit  # noqa: PLC0415  not needed for --help

    return Audit(file or mesh.audit, transport=mesh.transport, namespace=mesh.namespace)


@contextlib.contextmanager
def bar(verb: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar where somebody watches and there is more than one; gives what to call for each."""
    from asya.cli.sending import progress  # noqa: PLC0415  not needed for --help

    with progress() as bar:
        step = bar.add_task(verb, total=total, visible=total > 1)
        yield lambda: bar.advance(step)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Carry out a coroutine; Ctrl-C ends the command with exit code 130."""
    context = click.get_current_context()
    # One loop for the whole command: gRPC does not outlive the one it began with.
    runner: asyncio.Runner = context.meta.get(_RUNNER) or context.with_resource(asyncio.Runner())
    context.meta[_RUNNER] = runner
    try:
        return runner.run(work)
    except KeyboardInterrupt:
        click.echo("\nstopped; what is not done stays in the dead-letter queue", err=True)
        sys.exit(EXIT_INTERRUPTED)


def tell_selected(selected: Sequence[Letter], verb: str, output: str) -> None:
    """Print which letters are meant."""
    from asya.cli.dlq_tell import letters  # noqa: PLC0415  not needed for --help

    if output == "json":
        print_json({"dry_run": True, "letters": [letter.record() for letter in selected]})
        return
    for line in letters(selected[:_SHOWN]) if selected else ():
        click.echo(line)
    more = f", {len(selected) - _SHOWN} of them not shown" if len(selected) > _SHOWN else ""
    click.echo(f"{len(selected)} {verb}{more}", err=True)


def tell_result(result: Result, verb: str, output: str, missing: Sequence[str]) -> NoReturn:
    """Print what became of the letters and end the command; `missing` are IDs that were not there."""
    if output == "json":
        failed = [
            {"id": letter.id, "error": {"code": error.code, "message": str(error)}} for letter, error in result.failed
        ]
        done = {verb: [letter.id for letter in result.done], "gone": [letter.id for letter in result.gone]}
        print_json({**done, "failed": failed, "missing": list(missing)})
    else:
        for letter, error in result.failed:
            warn(f"{letter.id} stays: {error}")
        if result.gone:
            warn(f"{len(result.gone)} were gone meanwhile: somebody else has taken them, or is looking at them")
        click.echo(f"{len(result.done)} {verb}")
    end(missing or result.gone or result.failed)


def end(undone: Sequence[object]) -> NoReturn:
    """End the command, with exit code 3 when something was left undone."""
    sys.exit(EXIT_NOT_SUCCEEDED if undone else 0)


def warn(text: str) -> None:
    """Print a warning to standard error."""
    click.echo(f"{click.style('warning:', fg='yellow')} {text}", err=True)
