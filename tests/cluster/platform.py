"""Asya as a user installs it: images and packages from a registry, the umbrella chart with Helm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from tests.cluster import brokers, preflight, registry
from tests.cluster.building import Builds
from tests.cluster.helm import Helm
from tests.cluster.kubectl import Kubectl, command
from tests.cluster.namespaces import Namespaces
from tests.cluster.plan import ROOT, ClusterError, Plan
from tests.cluster.programs import program, source

sys.path.append(str(ROOT / "tools"))

from charts_deps import package

NAMESPACE = "asya-system"
RELEASE = "asya"
UMBRELLA = ROOT / "charts" / "asya"
# Images of actors in manifests, for which the base stands: Debian's Python.
PYTHONS = ("3.11-slim", "3.12-slim", "3.13-slim")
_IMAGES = ("asya-sidecar", "asya-crew", "asya-operator")
_FUNCTION = "function-asya"
_SECONDS = 300


def version() -> str:
    """Return the version that charts, images and packages have."""
    return str(yaml.safe_load((UMBRELLA / "Chart.yaml").read_text())["appVersion"])


def push(namespaces: Namespaces) -> None:
    """Put images and packages into the node's registry, built where what they hold has changed."""
    plan = namespaces.plan
    preflight.prepare(os.environ, preflight.BUILD_PACKAGES)
    builds = Builds(plan)
    for name, layout in builds.images(_IMAGES).items():
        registry.push(namespaces, layout, f"{plan.registry}/asya/{name}:{version()}")
    base = builds.layout(builds.base())
    for tag in PYTHONS:
        registry.push(namespaces, base, f"python:{tag}")
    for name, file in builds.packages().items():
        # Crossplane keeps what it has pulled under a name, so each other content has another one, too.
        own = f"{version()}-{file.parent.name}"
        for each in (version(), own):
            _push_package(plan, file, f"{plan.registry}/asya/{name}:{each}")
        if name == _FUNCTION:
            _tag_file(plan).write_text(own)


def _push_package(plan: Plan, file: Path, where: str) -> None:
    words = [str(program("crossplane").path), "xpkg", "push", f"--package-files={file}", where]
    done = subprocess.run(command(plan, words), capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise ClusterError(f"{where} is not pushed: {done.stderr or done.stdout}")


def _tag_file(plan: Plan) -> Path:
    return plan.state / "function-tag"


def tag(namespaces: Namespaces, name: str) -> None:
    """Give images and packages in the registry another version's name as well, for a chart that asks for that."""
    crane = str(program("crane").path)
    for each in (*_IMAGES, _FUNCTION):
        where = f"{namespaces.plan.registry}/asya/{each}"
        namespaces.run([crane, "copy", "--insecure", f"{where}:{version()}", f"{where}:{name}"])


def uninstall(plan: Plan) -> None:
    """Take the release away, and wait until its objects have gone."""
    Helm(plan).uninstall(RELEASE, namespace=NAMESPACE, seconds=_SECONDS)


def values(plan: Plan) -> list[dict[str, Any]]:
    """Return the values of RabbitMQ's values file, and what only this cluster knows: where the package is, the broker's
    version.
    """
    shipped = yaml.safe_load((UMBRELLA / "values-rabbitmq.yaml").read_text())
    package = {"repository": f"{plan.registry}/asya/{_FUNCTION}", "tag": _tag_file(plan).read_text()}
    composed = {"input": {"transports": {"rabbitmq": {"version": brokers.rabbitmq_version()}}}}
    return [shipped, {"asya-crossplane": {"function": {"package": package}, "composition": composed}}]


def umbrella(plan: Plan, charts: Path = UMBRELLA.parent) -> Path:
    """Return the umbrella chart with all that it bundles, packaged from a folder of charts as that is now."""
    folder = plan.state / "charts"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(charts, folder, ignore=shutil.ignore_patterns("*.tgz"))
    made = folder / UMBRELLA.name
    package(program("helm").path, program("kubectl").path, made, source("keda"))
    return made


def install(plan: Plan, *more: dict[str, Any], charts: Path = UMBRELLA.parent) -> None:
    """Install the umbrella chart with all parts, and wait until actors can be applied."""
    chart = umbrella(plan, charts)
    Helm(plan).install(RELEASE, chart, *values(plan), *more, namespace=NAMESPACE, seconds=_SECONDS)
    kubectl = Kubectl(plan)
    kubectl.wait("compositeresourcedefinition/asyncactors.asya.sh", "condition=Established")
    kubectl.wait("function.pkg.crossplane.io/function-asya", "condition=Healthy", seconds=_SECONDS)
