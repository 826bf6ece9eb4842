"""The registry of all actors goes with the operator: at a real API server, by Kubernetes' own garbage collector."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client as kubernetes
from kubernetes.config import new_client_from_config
from tests.support.apiserver import ServerUnavailableError
from tests.support.processes import until
from tests.unit.operator.scene import PLATFORM, SOON, Scene, installed

from asya.api.registry import NAME
from asya.operator.cluster import Cluster
from asya.operator.rounds import Rounds

pytestmark = [pytest.mark.apiserver, pytest.mark.xdist_group("apiserver")]
DEPLOYMENT = "asya-operator"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """As strict about who may say what belongs to what as an API server can be."""
    strict = ["OwnerReferencesPermissionEnforcement"]
    with installed(tmp_path_factory.mktemp("ownership"), admission=strict) as found:
        yield found


@pytest.fixture
def cluster(scene: Scene) -> Cluster:
    """The API server with the chart's rights."""
    return Cluster(new_client_from_config(str(scene.folder / "kubeconfig")))


async def test_a_registry_from_before_is_taken_over_and_goes_with_the_operator(scene: Scene, cluster: Cluster) -> None:
    await until(lambda: cluster.actors() is not None, within=SOON, what=scene.server.tail)
    scene.create(scene.namespace("shop"), "resize")
    Rounds(cluster, platform=PLATFORM).look()
    before = scene.core.read_namespaced_config_map(NAME, PLATFORM)
    assert before.metadata.owner_references is None

    rounds = Rounds(cluster, platform=PLATFORM, deployment=DEPLOYMENT)
    rounds.look(thoroughly=True)
    assert owners(scene, PLATFORM) == [uid(scene)]
    assert scene.core.read_namespaced_config_map(NAME, PLATFORM).metadata.uid == before.metadata.uid
    assert [each.name for each in scene.registry(PLATFORM).actors] == ["resize"]
    assert owners(scene, "shop") == [], "nothing can belong to something of another namespace"

    # Somebody has made the Deployment anew, without what belongs to it.
    apps = kubernetes.AppsV1Api(scene.client)
    found = apps.read_namespaced_deployment(DEPLOYMENT, PLATFORM)
    apps.delete_namespaced_deployment(DEPLOYMENT, PLATFORM, propagation_policy="Orphan")
    apps.patch_namespaced_deployment(DEPLOYMENT, PLATFORM, {"metadata": {"finalizers": None}})
    found.metadata.resource_version = found.metadata.uid = None
    apps.create_namespaced_deployment(PLATFORM, found)
    rounds.look(thoroughly=True)
    assert owners(scene, PLATFORM) == [uid(scene)]

    try:
        scene.server.collect_garbage()
    except ServerUnavailableError as error:
        pytest.skip(str(error))
    apps.delete_namespaced_deployment(DEPLOYMENT, PLATFORM)
    await until(lambda: not scene.has_registry(PLATFORM), within=SOON, what=scene.server.tail)
    assert scene.has_registry("shop")


async def test_without_its_deployment_the_registry_is_written_and_somebody_is_told(
    scene: Scene, cluster: Cluster
) -> None:
    await until(lambda: cluster.actors() is not None, within=SOON, what=scene.server.tail)
    place = scene.namespace("elsewhere")
    access = kubernetes.RbacAuthorizationV1Api(scene.client)
    subject = {"kind": "ServiceAccount", "name": DEPLOYMENT, "namespace": PLATFORM}
    rounds = Rounds(cluster, platform=place, deployment=DEPLOYMENT)

    def told() -> list[str]:
        return [
            each.message for each in scene.core.list_namespaced_event(place).items if each.reason == "RegistryStays"
        ]

    rounds.look()
    rounds.look()
    (said,) = told()
    assert "forbidden" in said, "its rights end with its namespace"
    assert scene.has_registry(place)
    rule = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]}
    access.create_namespaced_role(place, {"metadata": {"name": "more"}, "rules": [rule]})
    binding: dict[str, Any] = {"metadata": {"name": "more"}, "subjects": [subject]}
    binding["roleRef"] = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "more"}
    access.create_namespaced_role_binding(place, binding)

    async def looked() -> bool:
        await asyncio.to_thread(rounds.look)
        return len(told()) == 2

    await until(looked, within=SOON, what=scene.server.tail)
    (then,) = set(told()) - {said}
    assert then.endswith("there is none")


def owners(scene: Scene, namespace: str) -> list[str]:
    """Return the uids of what the registry belongs to; none of them is kept from being deleted by that."""
    found = scene.core.read_namespaced_config_map(NAME, namespace).metadata.owner_references or []
    assert not any(each.block_owner_deletion or each.controller for each in found)
    return [each.uid for each in found]


def uid(scene: Scene) -> str:
    found = kubernetes.AppsV1Api(scene.client).read_namespaced_deployment(DEPLOYMENT, PLATFORM)
    return str(found.metadata.uid)
