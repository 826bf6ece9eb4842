"""Every scenario renders exactly the objects of its golden file; `make golden` writes them anew."""

import os
from pathlib import Path

import pytest
import yaml
from pyhelm3 import Client
from tests.charts.conftest import Rendered
from tests.charts.scenarios import CHARTS, GOLDEN, SCENARIOS, Manifest, Scenario, render

# A whole certificate in base64; that of a scenario's values is cut short.
MADE = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"
WRITE = os.environ.get("ASYA_WRITE_GOLDEN") == "1"


def comparable(manifest: Manifest) -> Manifest:
    """Leave out copies of other files, which test_copies compares with them, and what is made anew each time."""
    if manifest["kind"] == "Secret":
        made = {"data": dict.fromkeys(manifest["data"], "made by this run")}
        annotations = dict.fromkeys(manifest["metadata"]["annotations"], "after this run")
        return manifest | made | {"metadata": manifest["metadata"] | {"annotations": annotations}}
    if manifest["kind"] == "MutatingWebhookConfiguration":
        return manifest | {"webhooks": [_without_authority(webhook) for webhook in manifest["webhooks"]]}
    if manifest["kind"] == "CompositeResourceDefinition":
        return manifest | {"spec": "as in the file it is made from"}
    if manifest["kind"] == "ConfigMap" and manifest["metadata"]["name"].endswith("-dashboard"):
        return manifest | {"data": dict.fromkeys(manifest["data"], "as in the file it is made from")}
    return manifest


def _without_authority(webhook: Manifest) -> Manifest:
    given = webhook["clientConfig"].get("caBundle", "").startswith(MADE)
    return webhook | {"clientConfig": webhook["clientConfig"] | {"caBundle": "made by this run"}} if given else webhook


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_scenario_is_as_its_golden_file(rendered: Rendered, scenario: Scenario) -> None:
    found = [comparable(manifest) for manifest in rendered(scenario)]
    if WRITE:
        scenario.golden.parent.mkdir(parents=True, exist_ok=True)
        scenario.golden.write_text(yaml.safe_dump_all(found, sort_keys=True, width=120, allow_unicode=True))
    assert found == list(yaml.safe_load_all(scenario.golden.read_text()))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_helm_3_renders_the_same(helm3: Client, chart_folder: Path, scenario: Scenario) -> None:
    found = await render(helm3, chart_folder, scenario.chart, scenario.values)
    assert [comparable(manifest) for manifest in found] == list(yaml.safe_load_all(scenario.golden.read_text()))


def test_each_golden_file_has_its_scenario() -> None:
    assert sorted(GOLDEN.rglob("*.yaml")) == sorted(scenario.golden for scenario in SCENARIOS)


def test_each_chart_has_scenarios() -> None:
    charts = {path.parent.name for path in CHARTS.glob("*/Chart.yaml")}
    assert {scenario.chart for scenario in SCENARIOS} == charts
