"""The umbrella with KEDA inside, packaged from KEDA's own manifests, and what Helm prints after an install."""

import shutil
import subprocess
from pathlib import Path

import charts_deps
import pytest
from pyhelm3 import Client
from tests.charts.binaries import needed
from tests.charts.scenarios import CHARTS, NAMESPACE, RELEASE, SCENARIOS, Scenario, identity, render
from tests.charts.sources import source

RABBITMQ = Scenario("asya", "rabbitmq")


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The charts, with everything packaged into the umbrella as `make chart-deps` does it without a network."""
    folder = tmp_path_factory.mktemp("bundled")
    umbrella = folder / "charts" / "asya"
    shutil.copytree(CHARTS, folder / "charts", ignore=shutil.ignore_patterns("*.tgz"))
    charts_deps.package(needed("helm"), needed("kubectl"), umbrella, source("keda"))
    return folder / "charts"


async def test_the_umbrella_brings_keda(helm: Client, bundled: Path) -> None:
    found = await render(helm, bundled, "asya", RABBITMQ.values)
    names = {identity(item) for item in found}
    assert ("CustomResourceDefinition", "", "scaledobjects.keda.sh") in names
    assert ("Deployment", NAMESPACE, "keda-operator") in names
    assert ("Deployment", NAMESPACE, "asya-operator") in names
    assert len(names) == len(found), "an object is rendered twice"


async def test_keda_can_be_left_out(helm: Client, bundled: Path) -> None:
    found = await render(helm, bundled, "asya", RABBITMQ.values | {"keda": {"enabled": False}})
    assert not [item for item in found if "keda" in item["metadata"]["name"]]


async def test_keda_lives_in_the_release_s_namespace(helm: Client, bundled: Path) -> None:
    found = await render(helm, bundled, "asya", RABBITMQ.values)
    keda = [item for item in found if "keda" in item["metadata"]["name"] and "namespace" in item["metadata"]]
    assert {item["metadata"]["namespace"] for item in keda} == {NAMESPACE, "kube-system"}
    subjects = [subject for item in keda for subject in item.get("subjects", ())]
    assert {subject["namespace"] for subject in subjects} == {NAMESPACE}


async def test_keda_s_images_are_pinned_to_the_chart_s_version(helm: Client, bundled: Path) -> None:
    version = next(item.version for item in charts_deps.dependencies(CHARTS / "asya") if item.name == "keda")
    found = await render(helm, bundled, "asya", RABBITMQ.values)
    images = {
        container["image"]
        for item in found
        if item["kind"] == "Deployment" and item["metadata"]["name"].startswith("keda")
        for container in item["spec"]["template"]["spec"]["containers"]
    }
    assert len(images) == 3
    assert {image.rpartition(":")[2] for image in images} == {version}


def test_keda_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Chart.yaml").write_text(
        "dependencies: [{name: keda, version: 2.19.0, repository: 'https://charts.example'}]"
    )
    with pytest.raises(charts_deps.DependencyError, match=r"keda 2\.19\.0 cannot be made from v2@v2\.20\.2"):
        charts_deps.package(Path("helm"), Path("kubectl"), tmp_path, tmp_path / "v2@v2.20.2")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_notes_tell_what_to_do_next(chart_folder: Path, scenario: Scenario, tmp_path: Path) -> None:
    """Notes are printed by an install only; this one stops before the cluster."""
    values = CHARTS / scenario.chart / "ci" / f"{scenario.name}-values.yaml"
    command = [needed("helm"), "install", RELEASE, chart_folder / scenario.chart, "--dry-run=client"]
    done = subprocess.run(
        [*command, "--namespace", NAMESPACE, "--values", values], capture_output=True, text=True, check=True, timeout=60
    )
    notes = done.stdout.partition("\nNOTES:\n")[2]
    assert "kubectl " in notes
    assert "<no value>" not in notes
