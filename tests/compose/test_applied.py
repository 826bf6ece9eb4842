"""A real API server takes what is composed, by server-side apply, and cannot decode what is refused before it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.compose.calls import Manifest, actor, call, settled
from tests.support.apiserver import ApiServer, api_server
from tests.support.manifests import FOLDER

pytestmark = [pytest.mark.apiserver, pytest.mark.xdist_group("apiserver")]

COMPOSED = (
    "passed-on", "containers-of-their-own", "environment", "gpu", "guards", "placement", "ports-and-probes", "security",
    "state", "volumes",
)  # fmt: skip
# Bad manifests, and where their field goes in a Deployment's pod.
UNDECODABLE = {
    "volume-with-an-unknown-field": ("volumes", "volumes"),
    "volume-with-a-wrong-amount": ("volumes", "volumes"),
    "affinity-misspelt": ("affinity", "affinity"),
    "affinity-as-text": ("affinity", "affinity"),
    "pod-security-context-misspelt": ("podSecurityContext", "securityContext"),
    "container-with-an-unknown-field": ("sidecars", "containers"),
    "container-with-a-number-for-text": ("initContainers", "initContainers"),
    "container-with-a-device-twice": ("sidecars", "containers"),
    "container-with-a-port-twice": ("sidecars", "containers"),
    "spread-over-unknown": ("topologySpreadConstraints", "topologySpreadConstraints"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with api_server() as found:
        yield found


def spec_of(folder: str, name: str) -> Manifest:
    spec: Manifest = yaml.safe_load((FOLDER / folder / f"{name}.yaml").read_text())["spec"]
    return spec


def apply(server: ApiServer, manifest: Manifest) -> None:
    """As Crossplane does; nothing is kept."""
    from kubernetes import client

    calls: dict[str, Any] = {
        "Deployment": client.AppsV1Api(server.client()).patch_namespaced_deployment,
        "NetworkPolicy": client.NetworkingV1Api(server.client()).patch_namespaced_network_policy,
    }
    calls[manifest["kind"]](
        manifest["metadata"]["name"],
        "default",
        {**manifest, "metadata": {**manifest["metadata"], "namespace": "default"}},
        field_manager="crossplane",
        force=True,
        dry_run="All",
        _content_type="application/apply-patch+yaml",
    )


@pytest.mark.parametrize("name", COMPOSED)
def test_what_is_composed_is_taken(server: ApiServer, name: str) -> None:
    composite = actor(**spec_of("good", name))
    composed = call(composite, observed=settled(composite)).resources.values()
    wanted = [each for each in composed if each["kind"] in {"Deployment", "NetworkPolicy"}]
    assert {each["kind"] for each in wanted} == {"Deployment", "NetworkPolicy"}
    for manifest in wanted:
        apply(server, manifest)


@pytest.mark.parametrize("name", UNDECODABLE)
def test_what_is_refused_could_not_be_applied(server: ApiServer, name: str) -> None:
    from kubernetes.client.exceptions import ApiException

    field, place = UNDECODABLE[name]
    value = spec_of("bad", name)[field]
    pod = {"containers": [{"name": "c", "image": "i"}], place: value}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    with pytest.raises(ApiException) as caught:
        apply(server, deployment)
    assert caught.value.status == 500
