"""The charts and the scenarios in which they are rendered: every `ci/*-values.yaml`, as ct has it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pyhelm3 import Client

ROOT = Path(__file__).resolve().parents[2]
CHARTS = ROOT / "charts"
GOLDEN = Path(__file__).resolve().parent / "golden"
RELEASE = "asya"
NAMESPACE = "asya-system"
OWN = ("asya-crossplane", "asya-operator", "asya-crew")

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One chart with one values file."""

    chart: str
    name: str

    @property
    def values(self) -> Manifest:
        found: Manifest = yaml.safe_load((CHARTS / self.chart / "ci" / f"{self.name}-values.yaml").read_text())
        return found

    @property
    def golden(self) -> Path:
        return GOLDEN / self.chart / f"{self.name}.yaml"

    def __str__(self) -> str:
        return f"{self.chart}/{self.name}"


SCENARIOS = [
    Scenario(path.parent.parent.name, path.name.removesuffix("-values.yaml"))
    for path in sorted(CHARTS.glob("*/ci/*-values.yaml"))
]


def copy_charts(folder: Path, charts: Path = CHARTS) -> Path:
    """Copy the charts; the umbrella with ours inside, and without its entry for KEDA, which is not ours to compare."""
    copied = folder / "charts"
    shutil.copytree(charts, copied, ignore=shutil.ignore_patterns("*.tgz", "Chart.lock"))
    about = yaml.safe_load((copied / "asya" / "Chart.yaml").read_text())
    about["dependencies"] = [item for item in about["dependencies"] if item["name"] in OWN]
    (copied / "asya" / "Chart.yaml").write_text(yaml.safe_dump(about))
    for name in OWN:
        shutil.copytree(copied / name, copied / "asya" / "charts" / name)
    return copied


async def render(client: Client, charts: Path, chart: str, *values: Manifest) -> list[Manifest]:
    """Return every object that a chart renders, hooks included, in a stable order."""
    found = await client.template_resources(
        await client.get_chart(charts / chart), RELEASE, *values, namespace=NAMESPACE, include_crds=True
    )
    return sorted((item for item in found if item), key=identity)


def identity(manifest: Manifest) -> tuple[str, str, str]:
    """Return kind, namespace and name of an object."""
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def pod_specs(manifest: Manifest) -> list[tuple[str, Manifest]]:
    """Return the pod specs in an object, each with the path it stands at."""
    match manifest["kind"]:
        case "Pod":
            return [("spec", manifest["spec"])]
        case "Deployment" | "Job":
            return [("spec.template.spec", manifest["spec"]["template"]["spec"])]
        case _:
            return []


def containers(spec: Manifest) -> list[Manifest]:
    """Return all containers of a pod spec."""
    return [*spec.get("initContainers", ()), *spec["containers"]]
