"""What commands share: options, and telling errors."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from asya.errors import AsyaError

P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., object])

EXIT_ERROR = 1
EXIT_NOT_SUCCEEDED = 3
EXIT_INTERRUPTED = 130


def output_option(command: F) -> F:
    """Add ``-o text|json``."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="How to print the result.",
    )(command)


def state_option(help_text: str) -> Callable[[F], F]:
    """Return a decorator that adds ``--state FOLDER``."""
    return click.option(
        "--state",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path(".asya"),
        show_default=True,
        envvar="ASYA_STATE",
        show_envvar=True,
        help=help_text,
    )


def server_option(command: F) -> F:
    """Add ``--state FOLDER`` to a command that talks to a running `asya up`."""
    return state_option("State folder of the `asya up` that is meant.")(command)


def tells_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Turn an `AsyaError` into one message on standard error and exit code 1; with ``-o json`` into an object."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except AsyaError as error:
            problems = getattr(error, "problems", None) or [str(error)]
            if kwargs.get("output") == "json":
                told = {"error": {"code": getattr(error, "problem", error.code), "message": str(error)}}
                click.echo(json.dumps(told, ensure_ascii=False), err=True)
            else:
                for problem in problems:
                    click.echo(f"{click.style('error:', fg='red')} {problem}", err=True)
            sys.exit(EXIT_ERROR)

    return wrapped


def print_json(value: object) -> None:
    """Print one value as JSON on one line."""
    click.echo(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
