"""The options of `asya dlq`: whose dead letters, and which of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from asya.cli.cluster.options import Choice, mesh_options
from asya.cli.shared import output_option, tells_errors
from asya.errors import PolicyError
from asya.policy import parse_duration

if TYPE_CHECKING:
    from asya.cli.dlq_letter import Query

F = TypeVar("F", bound=Callable[..., object])
_TRANSPORTS = ("sqlite", "rabbitmq", "sqs", "pubsub", "redis")
_WHERE = ("reason", "error-type", "error-message", "from", "parent-id")


def duration(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:  # noqa: ARG001  click's signature
    """Read an option that is a duration."""
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


def whose(command: F) -> F:
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


def which_ones(command: F) -> F:
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
        click.option("--older-than", metavar="2h", callback=duration, help="Those that have been dead for longer."),
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
class Chosen:
    """What `which_ones` was given."""

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
