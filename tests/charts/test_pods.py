"""What every chart's pods must be: restricted, pinned, bounded, and unambiguous for server-side apply."""

import re
from typing import Any

import pytest
from tests.charts.conftest import Rendered
from tests.charts.restricted import breaches
from tests.charts.scenarios import SCENARIOS, Manifest, Scenario, containers, pod_specs

# A tag that is a version, or a digest: never `latest`, a branch, or nothing.
PINNED = re.compile(r"[^:@\s]+(:[0-9]+)?(/[^:@\s]+)*:v?[0-9]+\.[0-9]+\.[0-9]+[^@\s]*(@sha256:[0-9a-f]{64})?")


def texts(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Return every text in a document, with its path."""
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in texts(item, f"{path}.{key}")]
    if isinstance(value, list):
        return [found for index, item in enumerate(value) for found in texts(item, f"{path}[{index}]")]
    return [(path, value)] if isinstance(value, str) else []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_pods_are_restricted(rendered: Rendered, scenario: Scenario) -> None:
    found = [
        f"{manifest['kind']} {manifest['metadata']['name']}: {breach}"
        for manifest in rendered(scenario)
        for _, spec in pod_specs(manifest)
        for breach in breaches(spec)
    ]
    assert found == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_environment_names_are_unique(rendered: Rendered, scenario: Scenario) -> None:
    for manifest in rendered(scenario):
        for _, spec in pod_specs(manifest):
            for container in containers(spec):
                names = [entry["name"] for entry in container.get("env", ())]
                assert len(names) == len(set(names)), (manifest["metadata"]["name"], container["name"])


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_containers_have_requests_and_a_limit_of_memory(rendered: Rendered, scenario: Scenario) -> None:
    for manifest in rendered(scenario):
        for _, spec in pod_specs(manifest):
            for container in containers(spec):
                resources = container["resources"]
                assert {"cpu", "memory"} <= resources["requests"].keys(), container["name"]
                assert "memory" in resources["limits"], container["name"]


def images(manifest: Manifest) -> list[str]:
    """Return images and packages that an object names."""
    return [text for path, text in texts(manifest) if re.search(r"\.(image|package)$", path)]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_images_and_packages_are_pinned(rendered: Rendered, scenario: Scenario) -> None:
    found = [image for manifest in rendered(scenario) for image in images(manifest)]
    assert [image for image in found if not PINNED.fullmatch(image)] == []


@pytest.mark.parametrize("image", ["registry/a", "registry/a:latest", "registry/a:1", "registry:5000/a", "a:main"])
def test_an_image_that_may_change_is_noticed(image: str) -> None:
    assert not PINNED.fullmatch(image)


def test_a_token_is_mounted_only_where_it_is_used(rendered: Rendered) -> None:
    """Pods of charts either name a ServiceAccount of the chart, or mount no token."""
    for scenario in SCENARIOS:
        accounts = {m["metadata"]["name"] for m in rendered(scenario) if m["kind"] == "ServiceAccount"}
        for manifest in rendered(scenario):
            for _, spec in pod_specs(manifest):
                assert spec.get("serviceAccountName") in accounts or spec.get("automountServiceAccountToken") is False
