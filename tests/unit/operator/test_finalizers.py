"""Queue objects that the topology operator cannot let go of: at a real API server, of its own kind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from kubernetes import client as kubernetes
from kubernetes.client.exceptions import ApiException
from kubernetes.config import new_client_from_config
from tests.charts.sources import source
from tests.support.processes import until
from tests.unit.operator.scene import PLATFORM, SOON, Scene, installed

from asya.operator.cluster import Cluster
from asya.operator.finalizers import DELETED, FINALIZER, PATIENCE
from asya.operator.identity import ACTOR
from asya.operator.rounds import Rounds

pytestmark = [pytest.mark.apiserver, pytest.mark.xdist_group("apiserver")]
QUEUE = {"group": "rabbitmq.com", "version": "v1beta1", "plural": "queues"}
Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with installed(tmp_path_factory.mktemp("finalizers")) as found:
        yield found


@pytest.fixture(scope="module")
def cluster(scene: Scene) -> Cluster:
    """The API server with the chart's rights, once it serves both kinds."""
    found = Cluster(new_client_from_config(str(scene.folder / "kubeconfig")))
    asyncio.run(until(lambda: found.actors() is not None, within=SOON, what=scene.server.tail))
    assert found.queues() == [], "a cluster without RabbitMQ's kinds is one too"
    assert Rounds(found, platform=PLATFORM).look() is False
    crd = yaml.safe_load((source("topology-operator") / "config/crd/bases/rabbitmq.com_queues.yaml").read_text())
    kubernetes.ApiextensionsV1Api(scene.client).create_custom_resource_definition(crd)

    def is_served() -> bool:
        try:
            return scene.custom.list_cluster_custom_object(**QUEUE)["items"] == []
        except ApiException as error:
            if error.status != 404:
                raise
            return False

    asyncio.run(until(is_served, within=SOON, what=scene.server.tail))
    return found


def leaving(scene: Scene, namespace: str, name: str, *finalizers: str, ours: bool = True) -> Manifest:
    """Make a Queue object that is being deleted and held."""
    metadata = {"name": name, "finalizers": list(finalizers), "labels": {ACTOR: "resize"} if ours else {}}
    spec = {"name": name, "rabbitmqClusterReference": {"name": "rabbitmq"}}
    body = {"apiVersion": "rabbitmq.com/v1beta1", "kind": "Queue", "metadata": metadata, "spec": spec}
    scene.custom.create_namespaced_custom_object(**QUEUE, namespace=namespace, body=body)
    return scene.custom.delete_namespaced_custom_object(**QUEUE, namespace=namespace, name=name)


def say(scene: Scene, queue: Manifest, reason: str = DELETED) -> None:
    """Post an event as the topology operator does."""
    metadata = queue["metadata"]
    about = {"apiVersion": "rabbitmq.com/v1beta1", "kind": "Queue", "namespace": metadata["namespace"]}
    about |= {"name": metadata["name"], "uid": metadata["uid"]}
    event = {"metadata": {"generateName": "queue."}, "involvedObject": about, "reason": reason, "type": "Normal"}
    scene.core.create_namespaced_event(metadata["namespace"], event)


def left(scene: Scene, namespace: str) -> dict[str, list[str]]:
    """Return the queues that are still there, with what holds them."""
    found = scene.custom.list_namespaced_custom_object(**QUEUE, namespace=namespace)["items"]
    return {each["metadata"]["name"]: each["metadata"]["finalizers"] for each in found}


def later() -> datetime:
    return datetime.now(UTC) + PATIENCE + timedelta(seconds=1)


def test_what_its_operator_has_deleted_is_let_go_of(scene: Scene, cluster: Cluster) -> None:
    namespace = scene.namespace("shop")
    say(scene, leaving(scene, namespace, "deleted", FINALIZER))
    say(scene, leaving(scene, namespace, "held-by-others-too", "example.org/other", FINALIZER))
    say(scene, leaving(scene, namespace, "with-messages", FINALIZER), "FailedDelete")
    say(scene, leaving(scene, namespace, "somebody-elses", FINALIZER, ours=False))
    say(scene, leaving(scene, namespace, "held-by-others", "example.org/other"))
    everything = left(scene, namespace)

    assert Rounds(cluster, platform=PLATFORM).look() is True, "it looks again soon"
    assert left(scene, namespace) == everything, "its own operator has some time for it"

    rounds = Rounds(cluster, platform=PLATFORM, now=later)
    assert rounds.look() is True
    assert left(scene, namespace) == {
        "held-by-others": ["example.org/other"],
        "held-by-others-too": ["example.org/other"],
        "somebody-elses": [FINALIZER],
        "with-messages": [FINALIZER],
    }
    say(scene, scene.custom.get_namespaced_custom_object(**QUEUE, namespace=namespace, name="with-messages"))
    assert rounds.look() is True
    assert "with-messages" not in left(scene, namespace)
    assert rounds.look() is False


def test_what_was_said_of_one_before_it_does_not_count(scene: Scene, cluster: Cluster) -> None:
    namespace = scene.namespace("again")
    rounds = Rounds(cluster, platform=PLATFORM, now=later)
    say(scene, leaving(scene, namespace, "resize", FINALIZER))
    rounds.look()
    assert left(scene, namespace) == {}
    leaving(scene, namespace, "resize", FINALIZER)
    rounds.look()
    assert left(scene, namespace) == {"resize": [FINALIZER]}
