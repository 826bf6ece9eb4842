"""What every chart's pods must be: restricted, pinned, bounded, and unambiguous for server-side apply."""

import pytest
from tests.charts.conftest import Rendered
from tests.charts.images import PINNED, images
from tests.charts.restricted import breaches
from tests.charts.scenarios import SCENARIOS, Scenario, containers, pod_specs


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
def test_root_file_systems_cannot_be_written(rendered: Rendered, scenario: Scenario) -> None:
    """The restricted profile does not ask for it; this house does."""
    for manifest in rendered(scenario):
        for _, spec in pod_specs(manifest):
            assert all(container["securityContext"]["readOnlyRootFilesystem"] for container in containers(spec))


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


RESTRICTED = {
    "containers": [
        {
            "name": "a",
            "securityContext": {
                "runAsNonRoot": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        }
    ]
}


def test_a_restricted_pod_has_no_breach() -> None:
    assert list(breaches(RESTRICTED)) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"runAsNonRoot": False}, "a: runAsNonRoot is not set"),
        ({"runAsUser": 0}, "a: runs as root"),
        ({"seccompProfile": {"type": "Unconfined"}}, "a: no seccomp profile"),
        ({"allowPrivilegeEscalation": True}, "a: privilege escalation is allowed"),
        ({"privileged": True}, "a: privileged"),
        ({"capabilities": {}}, "a: capabilities are not dropped"),
        ({"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}, "a: capabilities are added"),
    ],
)
def test_a_breach_is_noticed(change: dict[str, object], why: str) -> None:
    [container] = RESTRICTED["containers"]
    changed = container | {"securityContext": dict(container["securityContext"]) | change}
    assert list(breaches({"containers": [changed]})) == [why]


def test_breaches_of_the_pod_are_noticed() -> None:
    spec = RESTRICTED | {"hostNetwork": True, "volumes": [{"name": "v", "hostPath": {"path": "/"}}]}
    assert list(breaches(spec)) == ["hostNetwork", "volume v"]
