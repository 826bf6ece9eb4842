"""A running cluster is used only where it is asked for: `-m e2e`, which `make e2e` does."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.e2e.clouds import Clouds, running
from tests.cluster.e2e.mail import Mail, prepare
from tests.cluster.e2e.report import Report
from tests.cluster.e2e.stage import Stage
from tests.cluster.e2e.target import Own, Target, choose
from tests.cluster.plan import ROOT

FOLDER_VARIABLE, PARTS_VARIABLE = "ASYA_E2E_FOLDER", "ASYA_E2E_PARTS"
FOLDER = ROOT / "build" / "e2e"
PARTIAL = FOLDER / "partial"
"""Where the report of some tests alone goes: that of a whole run is not written over by it."""
_REPORT: pytest.StashKey[Report] = pytest.StashKey()
_OUTCOMES: pytest.StashKey[list[tuple[str, str, float]]] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    """Begin an empty report."""
    parts = json.loads(os.environ.get(PARTS_VARIABLE) or "{}")
    config.stash[_REPORT], config.stash[_OUTCOMES] = Report(parts=parts), []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave these tests out unless the expression for markers names them."""
    if "e2e" in config.option.markexpr:
        return
    if left := [item for item in items if item.get_closest_marker("e2e")]:
        items[:] = [item for item in items if item not in left]
        config.hook.pytest_deselected(items=left)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Note how each test ended."""
    found: pytest.TestReport = yield  # type: ignore[assignment]
    if item.get_closest_marker("e2e") and (found.when == "call" or found.outcome != "passed"):
        item.config.stash[_OUTCOMES].append((item.nodeid.rpartition("/")[2], found.outcome, found.duration))
    return found  # type: ignore[return-value]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the report when any of these tests ran."""
    if outcomes := session.config.stash[_OUTCOMES]:
        session.config.stash[_REPORT].write(Path(os.environ.get(FOLDER_VARIABLE) or PARTIAL), outcomes)


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    """What is found out."""
    return pytestconfig.stash[_REPORT]


@pytest.fixture(scope="session")
def target() -> Target:
    """The cluster."""
    found = choose(os.environ)
    prepare(found, "data")
    return found


@pytest.fixture(scope="session")
def own(target: Target) -> Own:
    """The cluster where it is this repository's own."""
    if not isinstance(target, Own):
        pytest.skip("what is beside the node is at hand on this repository's own cluster only")
    return target


@pytest.fixture(scope="module")
def clouds(own: Own, stage: Stage) -> Iterator[Clouds]:
    """The clouds beside its node, for tests of one file."""
    with running(own) as found:
        yield found


@pytest.fixture(scope="session")
def stage(target: Target) -> Stage:
    """The namespace of the actors that break."""
    made = Stage(target, "stage")
    worker = Path(__file__).parent / "worker" / "work.py"
    for version in ("1", "2"):
        target.push(f"e2e/worker:{version}", {"work.py": worker}, {"VERSION": version, "PYTHONPATH": "/app"})
    return made


@pytest.fixture(scope="session")
def mail(stage: Stage) -> Mail:
    """Its messages."""
    return stage.mail
