"""What breaks while messages flow, and what becomes of the messages: none is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.cluster.e2e.flow import FIRST, MILLISECONDS, SECOND, Flow
from tests.cluster.e2e.report import Report
from tests.cluster.e2e.stage import RUNTIME, SIDECAR, Stage, container
from tests.cluster.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900), pytest.mark.xdist_group("e2e")]
EATER, MEMORY = "eater", "96Mi"
EATERS = 3
LEFT_AT_ZERO = "napper"
SCALING = {"minReplicaCount": 2, "maxReplicaCount": 2, "pollingInterval": 1}
POLICY = {"policies": {"default": {"maxAttempts": 4, "backoff": "constant", "initialDelay": "500ms"}}}
ROLLED = 100
"""Messages that are sent whenever half of so many are left, while pods are replaced."""
_SOME = 25
"""Messages for rows that are slow by nature."""


@pytest.fixture(scope="module")
def flow(stage: Stage, report: Report) -> Iterator[Flow]:
    """Two actors of two pods each."""
    stage.kubectl.apply(*(stage.actor(name, scaling=SCALING, resiliency=POLICY) for name in (FIRST, SECOND)))
    stage.ready(FIRST, SECOND, "x-sink", "x-sump")
    wait_until("both pods of both", lambda: all(len(stage.running(name)) == 2 for name in (FIRST, SECOND)), 180)
    yield Flow(stage, report)
    stage.remove(FIRST, SECOND)


@contextmanager
def away(stage: Stage, namespace: str, *deployments: str) -> Iterator[None]:
    """Scale deployments to zero, and back."""
    where = f"--namespace={namespace}"
    for name in deployments:
        stage.kubectl("scale", f"deployment/{name}", "--replicas=0", where)
    try:
        wait_until("no pod of them", lambda: not any(_replicas(stage, namespace, name) for name in deployments), 90)
        yield
    finally:
        for name in deployments:
            stage.kubectl("scale", f"deployment/{name}", "--replicas=1", where)
        for name in deployments:
            stage.kubectl.wait(f"deployment/{name}", "condition=Available", namespace=namespace)


def _replicas(stage: Stage, namespace: str, name: str) -> int:
    status = stage.kubectl.get(f"deployment/{name}", f"--namespace={namespace}")["status"]
    return int(status.get("replicas", 0))


def _kill(stage: Stage, actor: str, name: str) -> None:
    """SIGKILL for a container of one pod of an actor; return when the kubelet has seen it."""
    pod = stage.running(actor)[0]
    before = container(pod, name)
    stage.target.kill(before)

    def replaced() -> bool:
        found = stage.get(f"pod/{pod['metadata']['name']}")
        return container(found, name) != before

    wait_until(f"another container {name}", replaced, 120)


@pytest.mark.parametrize("name", [SIDECAR, RUNTIME])
def test_a_container_is_killed(flow: Flow, name: str) -> None:
    def breaks() -> None:
        for actor in (FIRST, SECOND):
            _kill(flow.stage, actor, name)

    flow.run(f"{name} killed, once in each actor", breaks)


def test_pods_are_deleted_without_grace(flow: Flow) -> None:
    def breaks() -> None:
        names = [f"pod/{flow.stage.running(each)[0]['metadata']['name']}" for each in (FIRST, SECOND)]
        where = f"--namespace={flow.stage.namespace}"
        flow.stage.kubectl("delete", *names, where, "--force", "--grace-period=0")

    flow.run("a pod of each actor deleted without grace", breaks)


def test_pods_are_evicted_as_by_a_drain(flow: Flow) -> None:
    """The node is the only one: what is evicted waits until the node takes pods again."""
    kubectl, node = flow.stage.kubectl, flow.stage.target.node

    def breaks() -> None:
        kubectl("cordon", node)
        try:
            names = [f"pod/{pod['metadata']['name']}" for each in (FIRST, SECOND) for pod in flow.stage.pods(each)]
            kubectl("delete", *names, f"--namespace={flow.stage.namespace}", seconds=300)
        finally:
            kubectl("uncordon", node)

    flow.run("node cordoned, all pods of both actors deleted with grace", breaks)


def test_a_runtime_runs_out_of_memory(flow: Flow) -> None:
    stage = flow.stage
    volume = {
        "volumes": [{"name": "marks", "emptyDir": {}}],
        "volumeMounts": [{"name": "marks", "mountPath": "/marks"}],
    }
    limits = {"limits": {"memory": MEMORY}, "requests": {"memory": MEMORY, "cpu": "10m"}}
    scaling = {**SCALING, "minReplicaCount": 1, "maxReplicaCount": 1}
    spec: dict[str, Any] = {"handler": "work.hungry", "resources": limits, "resiliency": POLICY, "scaling": scaling}
    stage.kubectl.apply(stage.actor(EATER, **spec, **volume))
    stage.ready(EATER)
    flow.run(
        f"runtime out of memory, {EATERS} times",
        lambda: None,
        lambda n: {"eat": n in range(5, 5 + EATERS)},
        route=[EATER],
        messages=_SOME,
    )
    (pod,) = stage.running(EATER)
    (status,) = (each for each in pod["status"]["containerStatuses"] if each["name"] == RUNTIME)
    name, where = pod["metadata"]["name"], f"--namespace={stage.namespace}"
    # Where the kernel ends the whole group (cgroup v2), the container is replaced; else only the runtime's worker is.
    workers = stage.kubectl("logs", name, where, f"--container={RUNTIME}").count("killed by SIGKILL")
    assert status["restartCount"] + workers >= EATERS
    stage.remove(EATER)


def test_the_broker_is_restarted(flow: Flow) -> None:
    flow.run("broker restarted", flow.stage.target.restart_broker)


def test_the_api_server_is_killed(flow: Flow) -> None:
    flow.run("API server killed and restarted", flow.stage.target.restart_apiserver)


def test_crossplane_and_its_function_are_away(flow: Flow) -> None:
    kubectl = flow.stage.kubectl
    found = kubectl.get("deployments", "--namespace=crossplane-system")["items"]
    names = [each["metadata"]["name"] for each in found]
    assert any(name.startswith("function-asya") for name in names)
    with away(flow.stage, "crossplane-system", *names):
        flow.run("Crossplane and the function away", lambda: None)


def test_keda_is_away(flow: Flow) -> None:
    """An actor at zero stays there meanwhile, and its messages wait."""
    stage = flow.stage
    scaling = {"minReplicaCount": 0, "maxReplicaCount": 1, "pollingInterval": 1, "cooldownPeriod": 300}
    stage.kubectl.apply(stage.actor(LEFT_AT_ZERO, scaling=scaling))
    stage.ready(LEFT_AT_ZERO)
    with away(stage, "asya-system", "keda-operator"):
        flow.run("KEDA away, actors with pods", lambda: None)
        waiting = stage.mail.send([LEFT_AT_ZERO], [{"n": n, "ms": 1} for n in range(_SOME)])
        wait_until("messages counted", lambda: stage.mail.depths()[LEFT_AT_ZERO] == _SOME, 30)
        assert not stage.pods(LEFT_AT_ZERO)
    began = time.monotonic()
    stage.mail.wait(waiting, 180)
    flow.count("KEDA away, an actor at zero", waiting, time.monotonic() - began)
    stage.remove(LEFT_AT_ZERO)


def test_image_and_handler_change(flow: Flow) -> None:
    """Messages flow until the last pod is a new one, and beyond."""
    stage, mail = flow.stage, flow.stage.mail
    mail.forget()
    sent: list[str] = []

    def send() -> None:
        sent.extend(mail.send([FIRST, SECOND], [{"n": n, "ms": MILLISECONDS} for n in range(ROLLED)]))

    def rolled_out() -> bool:
        if mail.depths()[FIRST] < ROLLED // 2:
            send()
        images = [container["image"] for pod in stage.running(FIRST) for container in pod["spec"]["containers"]]
        return images == ["e2e/worker:2"] * SCALING["minReplicaCount"]

    send()
    mail.wait(sent, 180, least=1)
    patch = '{"spec": {"image": "e2e/worker:2", "handler": "work.other"}}'
    began = time.monotonic()
    stage.kubectl("patch", f"asyncactor/{FIRST}", f"--namespace={stage.namespace}", "--type=merge", f"--patch={patch}")
    wait_until("only new pods", rolled_out, 300, lambda: str(mail.depths()))
    send()
    mail.wait(sent, 300)
    wait_until("empty queues", mail.empty, 120)
    flow.count("image and handler of the first actor changed", sent, time.monotonic() - began)
    calls = [mail.result(each)["payload"]["calls"][0] for each in (sent[0], sent[-1])]
    assert [(call["version"], call["handler"]) for call in calls] == [("1", "work"), ("2", "other")]
