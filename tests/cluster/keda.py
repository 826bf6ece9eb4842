"""The images that KEDA's chart, a part of the umbrella, asks for: each with a program that `make tools` builds."""

from __future__ import annotations

from tests.cluster.oci import Image
from tests.cluster.programs import program

# Program -> path in the image, as KEDA's manifests call it, and the image's name.
_PARTS = {
    "keda": ("keda", "kedacore/keda"),
    "keda-adapter": ("keda-adapter", "kedacore/keda-metrics-apiserver"),
    "keda-admission-webhooks": ("keda-admission-webhooks", "kedacore/keda-admission-webhooks"),
}


def images() -> list[tuple[Image, str]]:
    """Return the images and their tag, which is KEDA's version without v."""
    found = []
    for name, (path, repository) in _PARTS.items():
        built = program(name)
        found.append((Image(repository, {path: built.path}, [f"/{path}"], built.key), built.version.removeprefix("v")))
    return found
