"""Rendered charts, each scenario once per session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from pyhelm3 import Client
from tests.charts.binaries import needed
from tests.charts.scenarios import Manifest, Scenario, copy_charts, render

Rendered = Callable[[Scenario], list[Manifest]]


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
