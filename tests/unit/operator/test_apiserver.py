"""The operator as it is installed, at a real API server: with the chart's rights and the chart's webhook, no more."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from kubernetes import client as kubernetes
from kubernetes.client.exceptions import ApiException
from tests.support.definition import crd_of
from tests.support.host import free_port
from tests.unit.operator import statuses
from tests.unit.operator.objects import COMPOSED, crew_map, pod
from tests.unit.operator.scene import GROUP, PLATFORM, Scene, installed, rendered

from asya.api.xrd import definition

pytestmark = [pytest.mark.apiserver, pytest.mark.xdist_group("apiserver")]
Process = subprocess.Popen[bytes]
EXPECTED = ("storage is (re)initializing", "Webhook 'inject' failed permanently")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("operator")
    with installed(folder, ports=(free_port(), free_port()), serves_actors=False) as found:
        yield found


@pytest.fixture(scope="module")
def operator(scene: Scene) -> Iterator[Process]:
    """The operator's process, started before its kind is served."""
    environment = {
        **os.environ,
        "KUBECONFIG": str(scene.folder / "kubeconfig"),
        "ASYA_OPERATOR_NAMESPACE": PLATFORM,
        "ASYA_OPERATOR_DEPLOYMENT": "asya-operator",
        "ASYA_OPERATOR_HEALTH_ADDR": f"127.0.0.1:{scene.health_port}",
        "ASYA_OPERATOR_CREW_CONFIG_MAP": "asya-crew",
        "ASYA_OPERATOR_RESYNC": "5s",
        "ASYA_OPERATOR_WEBHOOK_ADDR": f"127.0.0.1:{scene.webhook_port}",
        "ASYA_OPERATOR_WEBHOOK_CERT": str(scene.folder / "tls.crt"),
        "ASYA_OPERATOR_WEBHOOK_KEY": str(scene.folder / "tls.key"),
    }
    with (scene.folder / "operator.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "asya.operator"], env=environment, stdout=log, stderr=log)
    yield process
    process.terminate()
    assert process.wait(20) == 0, scene.log()[-4000:]


@pytest.fixture
async def served(scene: Scene, operator: Process) -> AsyncIterator[Scene]:
    """The same, once the operator has waited for the kind and found it."""
    api = kubernetes.ApiextensionsV1Api(scene.client)
    if not api.list_custom_resource_definition().items:
        await scene.until(lambda: "is not served yet" in scene.log())
        api.create_custom_resource_definition(crd_of(definition()))
        await scene.until(lambda: scene.has_registry(PLATFORM))
    yield scene
    assert operator.poll() is None, scene.log()[-4000:]


async def test_crew_and_registry_follow_the_actors(served: Scene) -> None:
    namespace = served.namespace("shop")
    served.create(namespace, "resize")
    await served.until(lambda: served.actor(namespace, "x-sump") is not None)
    await served.until(lambda: len(served.registry(namespace).actors) == 3)
    served.set_status(namespace, "resize", phase="Ready", transport="rabbitmq", queueIdentifier="asya_shop_resize")

    def is_known() -> bool:
        found = [served.registry(place).find(namespace, "resize") for place in (namespace, PLATFORM)]
        return all(each is not None and each.queue == "asya_shop_resize" for each in found)

    await served.until(is_known)
    await served.until(lambda: len(served.events(namespace)) >= 2)
    events = served.events(namespace)
    assert sorted(set(events)) == [("x-sink", "CrewApplied"), ("x-sump", "CrewApplied")]
    assert len(events) == 2, "nothing is repeated"
    resize = served.actor(namespace, "resize")
    assert resize is not None
    assert "finalizers" not in resize["metadata"]
    assert "annotations" not in resize["metadata"]
    assert {entry["manager"] for entry in resize["metadata"]["managedFields"]} != {"asya-operator"}
    assert not any(entry["manager"] == "asya-operator" for entry in resize["metadata"]["managedFields"])


async def test_crossplanes_fields_and_peoples_fields_stay_theirs(served: Scene) -> None:
    namespace = served.namespace("kept")
    served.create(namespace, "resize")
    await served.until(lambda: served.actor(namespace, "x-sink") is not None)
    place = {**GROUP, "namespace": namespace, "name": "x-sink"}
    crossplane = {"crossplane": {"compositionUpdatePolicy": "Manual"}}
    served.custom.patch_namespaced_custom_object(
        **place, body={"spec": {**crossplane, "image": "mine:1"}}, field_manager="people"
    )
    changed = crew_map()
    changed["data"]["actors.yaml"] = changed["data"]["actors.yaml"].replace("asya-crew:0.1.0", "asya-crew:0.1.1")
    served.core.patch_namespaced_config_map("asya-crew", PLATFORM, changed)
    try:
        await served.until(lambda: ("x-sink", "FieldsOfSomebodyElse") in served.events(namespace))
        sump = lambda: (served.actor(namespace, "x-sump") or {})["spec"]["image"]  # noqa: E731
        await served.until(lambda: sump() == "ghcr.io/asya/asya-crew:0.1.1")
    finally:
        served.core.patch_namespaced_config_map("asya-crew", PLATFORM, crew_map())
    sink = served.actor(namespace, "x-sink")
    assert sink is not None
    assert sink["spec"]["image"] == "mine:1"
    assert sink["spec"]["crossplane"] == crossplane["crossplane"]


async def test_an_actor_that_goes_leaves_the_registry_and_the_crew_stays(served: Scene) -> None:
    namespace = served.namespace("left")
    served.create(namespace, "resize")
    await served.until(lambda: served.registry(namespace).find(namespace, "x-sump") is not None)
    served.custom.delete_namespaced_custom_object(**GROUP, namespace=namespace, name="resize")
    await served.until(lambda: served.registry(namespace).find(namespace, "resize") is None)
    for name in ("x-sink", "x-sump"):
        assert served.actor(namespace, name) is not None
        served.custom.delete_namespaced_custom_object(**GROUP, namespace=namespace, name=name)
    await served.until(lambda: served.registry(namespace).actors == [])
    assert served.actor(namespace, "x-sink") is None, "no actor, no crew"


async def test_a_pod_of_a_bound_workload_gets_its_sidecar(served: Scene) -> None:
    namespace = served.namespace("bound")
    workload = {"name": "vllm", "port": 8000, "protocol": "openai"}
    served.create(namespace, "chat", workloadRef=workload)
    given = copy.deepcopy(pod())
    given["metadata"]["namespace"] = namespace
    given["metadata"]["ownerReferences"][0]["uid"] = "00000000-0000-0000-0000-000000000000"

    async def refused(expected: str) -> None:
        with pytest.raises(ApiException) as caught:
            await asyncio.to_thread(served.core.create_namespaced_pod, namespace, given)
        assert expected in json.loads(caught.value.body)["message"]

    await refused("actor 'chat' is not composed yet")
    served.set_status(namespace, "chat", phase="Ready", transport="rabbitmq")
    labels = {"asya.sh/actor": "chat", "asya.sh/transport": "rabbitmq"}
    config_map = {"metadata": {"name": "chat-rabbitmq", "labels": labels}, "data": {"pod.json": json.dumps(COMPOSED)}}
    served.core.create_namespaced_config_map(namespace, config_map)
    created = await asyncio.to_thread(served.core.create_namespaced_pod, namespace, given)
    spec = created.spec
    assert [each.name for each in spec.init_containers] == ["model", "asya-sidecar"]
    assert [each.name for each in spec.containers] == ["vllm", "asya-runtime"]
    assert spec.init_containers[1].restart_policy == "Always"
    assert {each.name for each in spec.volumes} >= {"models", "asya-sockets", "asya-runtime"}
    assert created.metadata.labels == {"app": "vllm", "asya.sh/inject": "chat", **labels}
    assert created.metadata.annotations == {"asya.sh/injected": "chat"}

    given["metadata"]["labels"]["asya.sh/inject"] = "nobody"
    await refused("namespace bound has no actor 'nobody'")
    given["metadata"]["ownerReferences"][0]["name"] = "other-5d8c"
    given["metadata"]["labels"]["asya.sh/inject"] = "chat"
    await refused("belongs to ReplicaSet other-5d8c")
    del given["metadata"]["labels"]["asya.sh/inject"]
    plain = await asyncio.to_thread(served.core.create_namespaced_pod, namespace, given)
    assert [each.name for each in plain.spec.containers] == ["vllm"]


async def test_why_pods_do_not_run_is_told_on_their_actor_as_long_as_it_lasts(served: Scene) -> None:
    namespace = served.namespace("told")
    image = statuses.IMAGE
    served.create(namespace, "resize", image=image, handler="app.process")
    secret = "amqp://shop:p4ssw0rd@broker:5672/"
    crashing = statuses.pod(statuses.crashing(statuses.ended(1, f"{statuses.IMPORT_ERROR} at {secret}")))
    for name in ("resize-a", "resize-b"):
        served.make_pod(namespace, name, crashing)
    stranger = copy.deepcopy(crashing)
    stranger["metadata"]["labels"] = {"app": "resize"}
    served.make_pod(namespace, "stranger", stranger)

    def reasons() -> list[str]:
        return sorted(each.reason for each in served.events_of(namespace, "resize"))

    await served.until(lambda: reasons() == ["HandlerNotLoaded"])
    (event,) = served.events_of(namespace, "resize")
    actor = served.actor(namespace, "resize")
    assert actor is not None
    assert (event.involved_object.kind, event.involved_object.uid) == ("AsyncActor", actor["metadata"]["uid"])
    assert (event.type, event.count, event.source.component) == ("Warning", 1, "asya-operator")
    assert event.message.startswith(
        f'Handler app.process in image "{image}" does not start: {statuses.IMPORT_ERROR} at'
    )
    assert "kubectl logs -n told -l asya.sh/actor=resize -c asya-runtime --previous" in event.message

    killed = statuses.pod(statuses.crashing(statuses.ended(137, reason="OOMKilled")))
    served.set_pod(namespace, "resize-b", killed)
    await served.until(lambda: reasons() == ["HandlerNotLoaded", "OutOfMemory"])
    again = next(each for each in served.events_of(namespace, "resize") if each.reason == "HandlerNotLoaded")
    assert (again.metadata.uid, again.count) == (event.metadata.uid, 1), "not repeated while it lasts"

    served.set_pod(namespace, "resize-a", statuses.pod())
    await served.until(lambda: reasons() == ["OutOfMemory"])
    # All is said to be there, and one Pod still is not: the operator looks on until it is.
    ready = {
        "type": "WorkloadReady",
        "status": "True",
        "reason": "Available",
        "lastTransitionTime": statuses.ago(hours=1),
    }
    served.set_status(namespace, "resize", conditions=[ready], replicas=2, readyReplicas=2)
    served.set_pod(namespace, "resize-b", statuses.pod())
    await served.until(lambda: reasons() == [])
    assert "p4ssw0rd" not in served.log()


def test_the_operator_may_list_pods_and_no_more_of_them() -> None:
    rules = [rule for rule in rendered("ClusterRole")["rules"] if any("pods" in each for each in rule["resources"])]
    assert rules == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]


async def test_the_log_has_no_error_and_memory_is_within_the_charts_limit(served: Scene, operator: Process) -> None:
    resident = next(line for line in Path(f"/proc/{operator.pid}/status").read_text().splitlines() if "VmHWM" in line)
    assert int(resident.split()[1]) < 192 * 1024, "the chart's memory limit"
    print(resident)
    lines = [json.loads(line) for line in served.log().splitlines() if line.startswith("{")]
    assert lines
    # A kind that is new is refused for a second, and asked for again; a refused Pod is an error to the framework.
    errors = [line for line in lines if line.get("severity") in {"error", "critical"}]
    assert [line for line in errors if not any(word in line["message"] for word in EXPECTED)] == []
    assert [line["message"] for line in lines if "could not be posted" in line["message"]] == []
    assert "Traceback" not in served.log()
    assert "forbidden" not in served.log()
