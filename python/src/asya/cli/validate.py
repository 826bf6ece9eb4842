"""`asya validate`: tell everything that is wrong with manifests, before anything runs."""

from __future__ import annotations

import dataclasses
import json
import sys

import click

from asya.api import Manifests, parse_manifests, read_manifests


@click.command("validate", no_args_is_help=True)
@click.argument("paths", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print the result.",
)
def command(paths: tuple[str, ...], output: str) -> None:
    """Check AsyncActor manifests and list every problem in them.

    FILE is a YAML or JSON file, a folder (with everything under it), or - for standard input. Nothing is started and
    no cluster is asked. Objects of other kinds are left out with a note.

    Each problem is one line: file, line, field, what was expected, what was found. Misspelt and misplaced fields are
    problems too, and name the field that was meant.

    \b
    Examples:
      asya validate actors/                      all manifests of a folder
      asya validate actors/embedder.yaml -o json for a script or an editor
      helm template my-chart | asya validate -   what a chart renders

    \b
    A smallest manifest:
      apiVersion: asya.sh/v1alpha1
      kind: AsyncActor
      metadata:
        name: greeter
      spec:
        image: greeter:1.0
        handler: handler.greet

    Exit status: 0 all is well, 1 at least one problem, 2 wrong usage.
    """  # noqa: D301  click reads the real character
    manifests = _read(paths)
    if output == "json":
        click.echo(json.dumps(_as_json(manifests), indent=2, ensure_ascii=False))
    else:
        _print(manifests)
    sys.exit(1 if manifests.problems else 0)


def _read(paths: tuple[str, ...]) -> Manifests:
    if "-" not in paths:
        return read_manifests(paths)
    if len(paths) > 1:
        raise click.UsageError("- (standard input) cannot stand beside files")
    return parse_manifests(sys.stdin.read())


def _print(manifests: Manifests) -> None:
    for note in manifests.notes:
        click.echo(f"note: {note}", err=True)
    for problem in manifests.problems:
        click.echo(problem)
    files = _count(manifests.files, "file")
    if not manifests.files:
        return  # the problem has said so
    if manifests.problems:
        click.echo(f"{_count(len(manifests.problems), 'problem')} in {files}")
    else:
        names = ", ".join(actor.name for actor in manifests.actors)
        click.echo(f"{_count(len(manifests.actors), 'actor')} in {files}, no problem: {names}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _as_json(manifests: Manifests) -> dict[str, object]:
    actors = [
        {
            "name": actor.name,
            "namespace": actor.metadata.namespace,
            "file": str(actor.source.file),
            "line": actor.source.line,
        }
        for actor in manifests.actors
    ]
    return {
        "valid": not manifests.problems,
        "files": manifests.files,
        "actors": actors,
        "problems": [dataclasses.asdict(problem) for problem in manifests.problems],
        "notes": manifests.notes,
    }
