"""What would change in a cluster, asked of the cluster itself by a dry run."""

from __future__ import annotations

import difflib
from typing import Any

import click
import yaml

from asya.api.fields import KIND
from asya.cli.render_cluster import Cluster
from asya.cli.render_composer import Manifest, RenderError, keyed, offline, tell

_ACTORS = "asyncactors.asya.sh"
_COMPOSER = "apiextensions.crossplane.io/composed"
_OF_THE_SERVER = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")


def show(cluster: Cluster, actor: Manifest, composition: Manifest | None) -> bool:
    """Print what applying an actor would change; tell whether anything would.

    Raises:
        RenderError: The cluster cannot be asked or refuses an object, or the actor is refused.
    """
    composer = offline()
    namespace, name = actor["metadata"]["namespace"], actor["metadata"]["name"]
    live: Manifest = next(iter(cluster.get(_ACTORS, name, namespace=namespace)), {"metadata": {}})
    machinery = (live.get("spec") or {}).get("crossplane") or {}
    composite = {
        **live,
        **actor,
        "metadata": {**live["metadata"], **actor["metadata"]},
        "spec": {**({"crossplane": machinery} if machinery else {}), **actor["spec"]},
    }
    settings = composer.settings_of(composition or _composition(cluster, machinery))
    observed = {
        key: each
        for reference in machinery.get("resourceRefs") or ()
        for each in cluster.get(_resource(reference), reference["name"], namespace=namespace)
        if (key := (each["metadata"].get("annotations") or {}).get(composer.KEY))
    }
    rendered = composer.render(composite, settings, cluster.find, observed)
    tell(actor, rendered)
    if rendered.refused:
        raise RenderError(f"{namespace}/{name} is refused: nothing would be changed")
    changed = False
    for key, wanted in rendered.resources.items():
        before = observed.get(key)
        changed |= _print(key, before, cluster.dry_run(_applied(key, wanted, before), _manager(before)))
    for key in sorted(set(observed) - set(rendered.resources)):
        changed |= _print(key, observed[key], None)
    return changed


def _composition(cluster: Cluster, machinery: Manifest) -> Manifest:
    """Return the Composition that the actor is on, or the only one for its kind."""
    named = (machinery.get("compositionRef") or {}).get("name")
    all_of_them = cluster.get("compositions.apiextensions.crossplane.io", *([named] if named else []))
    fitting = [each for each in all_of_them if each["spec"]["compositeTypeRef"]["kind"] == KIND]
    if len(fitting) != 1:
        names = ", ".join(each["metadata"]["name"] for each in fitting) or "none"
        raise RenderError(f"compositions of {KIND} in the cluster: {names}; choose with --composition FILE")
    return fitting[0]


def _resource(reference: Manifest) -> str:
    group, _, version = reference["apiVersion"].rpartition("/")
    return f"{reference['kind']}.{version}.{group}"  # with an empty group it ends in a dot, which kubectl wants


def _applied(key: str, wanted: Manifest, before: Manifest | None) -> Manifest:
    """Return an object with what Crossplane adds, which a dry run in its name would otherwise take away."""
    found = keyed(key, wanted)
    had = (before or {}).get("metadata") or {}
    labels = {name: value for name, value in (had.get("labels") or {}).items() if name.startswith("crossplane.io/")}
    annotations = {
        name: value for name, value in (had.get("annotations") or {}).items() if name.startswith("crossplane.io/")
    }
    metadata = found["metadata"]
    merged = {
        **metadata,
        "labels": {**labels, **(metadata.get("labels") or {})},
        "annotations": {**annotations, **metadata["annotations"]},
        **({"ownerReferences": had["ownerReferences"]} if had.get("ownerReferences") else {}),
    }
    return {**found, "metadata": merged}


def _manager(before: Manifest | None) -> str:
    """Return in whose name an object is applied: Crossplane's, where it has, so that fields left out go too."""
    managers = [each.get("manager", "") for each in ((before or {}).get("metadata") or {}).get("managedFields") or ()]
    return next((name for name in managers if name.startswith(_COMPOSER)), "asya-render")


def _print(key: str, before: Manifest | None, after: Manifest | None) -> bool:
    lines = list(
        difflib.unified_diff(
            _text(before), _text(after), f"cluster/{key}" if before else "/dev/null", key if after else "/dev/null"
        )
    )
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in lines:
        click.echo(click.style(line, fg=colours.get(line[0])), nl=False)
    return bool(lines)


def _text(manifest: Any) -> list[str]:  # noqa: ANN401  an object, or none
    if not manifest:
        return []
    kept = {name: value for name, value in manifest.items() if name != "status"}
    kept["metadata"] = {name: value for name, value in kept["metadata"].items() if name not in _OF_THE_SERVER}
    return yaml.safe_dump(kept, width=120, allow_unicode=True).splitlines(keepends=True)
