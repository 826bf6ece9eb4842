"""Rendered charts, each scenario once per session, and an API server as it is where Crossplane runs."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyhelm3 import Client
from tests.charts.binaries import needed
from tests.charts.scenarios import Manifest, Scenario, copy_charts, render
from tests.charts.sources import source
from tests.support.apiserver import ApiServer, api_server

HERE = Path(__file__).parent
AMONG_ALL = {"test_golden.py", "test_values.py", "test_install.py"}
"""These run in `make test` too; what schemas, copies and policies say of each rendering is left to `make charts`."""

Rendered = Callable[[Scenario], list[Manifest]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make charts` alone runs."""
    for item in items:
        if item.path.parent == HERE and item.path.name not in AMONG_ALL:
            item.add_marker(pytest.mark.charts)


@pytest.fixture(scope="session")
def helm() -> Client:
    return Client(executable=str(needed("helm")))


@pytest.fixture(scope="session")
def chart_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_charts(tmp_path_factory.mktemp("charts"))


@pytest.fixture(scope="session")
def helm3() -> Client:
    return Client(executable=str(needed("helm3")))


@pytest.fixture(scope="session")
def rendered(helm: Client, chart_folder: Path) -> Rendered:
    """Scenarios as Helm 4 renders them."""
    found: dict[Scenario, list[Manifest]] = {}

    def get(scenario: Scenario) -> list[Manifest]:
        if scenario not in found:
            found[scenario] = asyncio.run(render(helm, chart_folder, scenario.chart, scenario.values))
        return found[scenario]

    return get


@pytest.fixture(scope="session")
def server() -> Iterator[ApiServer]:
    """An API server with the kinds of Crossplane and of the Messaging Topology Operator."""
    kubectl = needed("kubectl")
    crds = [source("crossplane") / "cluster" / "crds", source("topology-operator") / "config" / "crd" / "bases"]
    with api_server() as started:
        command = [kubectl, "--kubeconfig", started.kubeconfig]
        for folder in crds:
            subprocess.run([*command, "create", "--filename", folder], check=True, capture_output=True)
        subprocess.run(
            [*command, "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"],
            check=True,
            capture_output=True,
        )
        yield started
