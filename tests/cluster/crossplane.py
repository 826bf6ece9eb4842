"""Crossplane as a user installs it: its own chart by Helm, with an image of the program as `make tools` builds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from tests.cluster.helm import Helm
from tests.cluster.oci import Image
from tests.cluster.plan import Plan
from tests.cluster.programs import program, source

NAMESPACE = "crossplane-system"
# An actor on RabbitMQ has some seventeen objects, and each tells of itself several times until it is ready. At the
# default of 100 Crossplane takes that for a loop, and looks at the actor every half minute only.
_BREAKER = ("--circuit-breaker-burst=500", "--circuit-breaker-refill-rate=10")
# At the default of 100 actors at once, Crossplane needs more memory than its limit of 1 GiB when hundreds are made.
_AT_ONCE = "--max-concurrent-reconciles=10"


def chart() -> Path:
    """Return the folder of its chart."""
    return source("crossplane") / "cluster" / "charts" / "crossplane"


def image() -> tuple[Image, str]:
    """Return the image under the name that the chart asks for, and its tag."""
    built, folder = program("crossplane-core"), source("crossplane") / "cluster"
    repository = yaml.safe_load((chart() / "values.yaml").read_text())["image"]["repository"]
    files = {
        "usr/local/bin/crossplane": built.path,
        "crds": folder / "crds",
        "webhookconfigurations": folder / "webhookconfigurations",
    }
    return Image(repository, files, ["crossplane"], built.key, environment=["PATH=/usr/local/bin"]), built.version


def values() -> dict[str, Any]:
    """Return the values that `docs/operate/install.md` names, and the version, which the source's chart lacks."""
    return {"image": {"tag": image()[1]}, "provider": {"defaultActivations": []}, "args": [*_BREAKER, _AT_ONCE]}


def install(plan: Plan) -> None:
    """Install it and wait until it is ready; its image must be in the registry."""
    Helm(plan).install("crossplane", chart(), values(), namespace=NAMESPACE)
