"""`kubectl kustomize` over the folders of gitops/."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from tests.charts.binaries import needed

GITOPS = Path(__file__).resolve().parents[2] / "gitops"

Manifest = dict[str, Any]


def folders(kind: str = "Kustomization") -> list[str]:
    """Return every folder with a kustomization of a kind, below gitops/."""
    found = sorted(GITOPS.rglob("kustomization.yaml"))
    return [str(path.parent.relative_to(GITOPS)) for path in found if yaml.safe_load(path.read_text())["kind"] == kind]


@cache
def _text(folder: str) -> str:
    command = [needed("kubectl"), "kustomize", GITOPS / folder]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode == 0, answer.stderr
    assert "deprecated" not in answer.stderr, answer.stderr
    return answer.stdout


def build(folder: str) -> list[Manifest]:
    """Return what a folder builds."""
    return [item for item in yaml.safe_load_all(_text(folder)) if item]


def one(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """Return the object of that kind and name."""
    (found,) = [each for each in manifests if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found
