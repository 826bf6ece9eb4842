"""The composition function as `asya render` uses it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import click

from asya.errors import AsyaError

if TYPE_CHECKING:
    from asya_composer.offline import Rendered, Wanted

Manifest = dict[str, Any]
_ON_THE_WAY = ("Creating", "Agreed", "Moved", "NoFlavors", "CrewMissing")


class RenderError(AsyaError):
    """An actor cannot be rendered here."""

    code = "render"


def render(actor: Manifest, composition: Manifest, cluster: list[Manifest]) -> Rendered:
    """Return what is composed of an actor at first, in a cluster that holds nothing but `cluster`.

    Raises:
        RenderError: The function is not installed.
    """
    composer = offline()

    def find(wanted: Wanted) -> list[Manifest]:
        return [each for each in cluster if wanted.fits(each)]

    found: Rendered = composer.render(actor, composer.settings_of(composition), find, {})
    return found


def offline() -> Any:  # noqa: ANN401  a module
    """Return the composition function, which is a distribution of its own.

    Raises:
        RenderError: It is not installed.
    """
    try:
        return importlib.import_module("asya_composer.offline")
    except ModuleNotFoundError as error:
        raise RenderError("the composition function is not installed here: pip install 'asya[render]'") from error


def tell(actor: Manifest, rendered: Rendered) -> None:
    """Say on standard error why an actor is refused, or what keeps it from working."""
    name = f"{actor['metadata']['namespace']}/{actor['metadata']['name']}"
    if rendered.refused:
        click.echo(f"{click.style('refused:', fg='red')} {name}: {rendered.refused}", err=True)
    for each in rendered.conditions:
        if each.status != "True" and each.reason not in _ON_THE_WAY and each.message and not rendered.refused:
            click.echo(f"note: {name}: {each.type}: {each.message}", err=True)


def keyed(key: str, manifest: Manifest) -> Manifest:
    """Return an object with the annotation by which Crossplane knows it again."""
    metadata = manifest["metadata"]
    annotations = {**(metadata.get("annotations") or {}), offline().KEY: key}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}
