"""Schemas for kubeconform, from the pinned sources of Kubernetes, Crossplane, KEDA and RabbitMQ's operator."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml
from charts_kubeschemas import Schemas
from tests.charts.binaries import GO_TOOLS
from tests.charts.scenarios import CHARTS

XRDS = ("asyncactors.yaml", "asyncactors-legacy.yaml")


def source(module: str) -> Path:
    """Return the folder of a pinned Go module, or skip; with CI=true a missing one is a failure."""
    asked = subprocess.run([sys.executable, GO_TOOLS, "source", module], capture_output=True, text=True, check=False)
    if asked.returncode == 0:
        return Path(asked.stdout.strip())
    why = f"the source of {module} is not here; `make tools` fetches it: {asked.stderr.strip()}"
    if os.environ.get("CI") == "true":
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


@cache
def schemas() -> Schemas:
    """Return the schemas of all kinds whose definitions are at hand."""
    found = Schemas(source("kubernetes") / "api" / "openapi-spec" / "swagger.json")
    found.add_folder(source("crossplane") / "cluster" / "crds")
    found.add_folder(source("keda") / "config" / "crd" / "bases")
    found.add_folder(source("topology-operator") / "config" / "crd" / "bases")
    for name in XRDS:
        found.add(yaml.safe_load((CHARTS / "asya-crossplane" / "files" / name).read_text()))
    return found
