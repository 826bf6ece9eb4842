"""`asya render`: what the composition function makes of an actor, and what of it differs in a cluster."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import yaml

from asya.api.fields import KIND
from asya.api.manifest import Manifests, parse_manifests, read_manifests
from asya.cli.render_cluster import Cluster
from asya.cli.render_composer import Manifest, RenderError, keyed, render, tell
from asya.cli.render_diff import show
from asya.cli.shared import EXIT_ERROR, EXIT_NOT_SUCCEEDED, tells_errors

if TYPE_CHECKING:
    from asya_composer.offline import Rendered

EXIT_DIFFERENT = EXIT_NOT_SUCCEEDED


@click.command("render", no_args_is_help=True)
@click.argument("paths", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "--composition",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="ASYA_COMPOSITION",
    show_envvar=True,
    help="File with the Composition, whose input holds the platform's settings. Without it: composition.yaml beside "
    "FILE; with --diff, the cluster's own.",
)
@click.option(
    "--with",
    "beside",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="File with what else the cluster holds: flavors (EnvironmentConfig), other actors. Not with --diff.",
)
@click.option("-n", "--namespace", default="default", show_default=True, help="For manifests that name none.")
@click.option("--diff", "differences", is_flag=True, help="Compare with the cluster that kubectl talks to.")
@click.option("--context", help="Context of the kubeconfig, for --diff.")
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True, help="Format.")
@tells_errors
def command(
    paths: tuple[str, ...],
    composition: Path | None,
    beside: tuple[Path, ...],
    namespace: str,
    *,
    differences: bool,
    context: str | None,
    output: str,
) -> None:
    """Render what an AsyncActor is composed of: queue, identity, Deployment, ScaledObject and the rest.

    FILE is a YAML or JSON file, a folder, or - for standard input. The composition function runs in this process:
    without --diff no cluster is asked, and the answer is what is composed at first, when nothing exists yet.

    With --diff the cluster is read as the function reads it, each object is sent there as a dry run, and what would
    change is printed; nothing is changed. It needs kubectl and the right to patch these objects.

    \b
    Examples:
      asya render actors/embedder.yaml --composition compositions/asyncactors.yaml
      asya render crossplane/examples/sqs/minimal.yaml -o json
      asya render actors/ --diff                  what applying the folder would change
      helm template my-chart | asya render - --composition platform.yaml

    Why an actor is refused (a flavor that does not exist is a reason) and what will keep it from working is told on
    standard error.

    Exit status: 0 rendered, and with --diff nothing would change; 3 with --diff, something would; 1 refused, or an
    error; 2 wrong usage.
    """  # noqa: D301  click reads the real character
    if differences and (beside or output == "json"):
        raise click.UsageError("--diff reads the cluster and prints text: it goes with neither --with nor -o json")
    actors = _actors(paths, namespace)
    if differences:
        cluster = Cluster(context)
        changed = [show(cluster, actor, _file(composition)) for actor, _ in actors]
        sys.exit(EXIT_DIFFERENT if any(changed) else 0)
    cluster_objects = [each for path in beside for each in _documents(path)] + [actor for actor, _ in actors]
    rendered = [(actor, render(actor, _file(composition) or _beside(file), cluster_objects)) for actor, file in actors]
    _print(rendered, output)
    sys.exit(EXIT_ERROR if any(each.refused for _, each in rendered) else 0)


def _actors(paths: tuple[str, ...], namespace: str) -> list[tuple[Manifest, Path]]:
    """Return the manifests as they are written, each with its file, once the models find nothing wrong with them."""
    if "-" in paths and len(paths) > 1:
        raise click.UsageError("- (standard input) cannot stand beside files")
    text = sys.stdin.read() if "-" in paths else None
    found: Manifests = read_manifests(paths) if text is None else parse_manifests(text)
    if found.problems:
        raise RenderError("\n".join(str(problem) for problem in found.problems))
    written = []
    for file in dict.fromkeys(actor.source.file for actor in found.actors):
        for each in _documents(file) if text is None else yaml.safe_load_all(text):
            if isinstance(each, dict) and each.get("kind") == KIND:
                each["metadata"].setdefault("namespace", namespace)
                written.append((each, file))
    return written


def _documents(path: Path) -> list[Manifest]:
    return [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each]


def _file(composition: Path | None) -> Manifest | None:
    return None if composition is None else _documents(composition)[0]


def _beside(file: Path) -> Manifest:
    found = file.parent / "composition.yaml"
    if not found.is_file():
        raise RenderError(f"there is no {found}: name the platform's Composition with --composition FILE")
    return _documents(found)[0]


def _print(all_rendered: list[tuple[Manifest, Rendered]], output: str) -> None:
    for actor, rendered in all_rendered:
        tell(actor, rendered)
    if output == "json":
        click.echo(json.dumps([_as_json(*each) for each in all_rendered], indent=2, ensure_ascii=False))
        return
    documents = [keyed(key, each) for _, found in all_rendered for key, each in found.resources.items()]
    click.echo(yaml.safe_dump_all(documents, sort_keys=False, width=120, allow_unicode=True), nl=False)


def _as_json(actor: Manifest, rendered: Rendered) -> Manifest:
    return {
        "name": actor["metadata"]["name"],
        "namespace": actor["metadata"]["namespace"],
        "refused": rendered.refused or None,
        "resources": dict(rendered.resources),
        "status": rendered.status,
        "conditions": [
            {"type": each.type, "status": each.status, "reason": each.reason, "message": each.message}
            for each in rendered.conditions
        ],
    }
