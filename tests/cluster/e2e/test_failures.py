"""What breaks while messages flow, and what becomes of the messages: none is lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from tests.cluster.e2e.flow import FIRST, MILLISECONDS, SECOND, Flow
from tests.cluster.e2e.report import Report
from tests.cluster.e2e.stage import RUNTIME, SIDECAR, Stage, container, is_ready
from tests.cluster.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900), pytest.mark.xdist_group("e2e")]
EATER, MEMORY = "eater", "96Mi"
EATERS = 3
LEFT_AT_ZERO = "napper"
SCALING = {"minReplicaCount": 2, "maxReplicaCount": 2, "pollingInterval": 1}
POLICY = {"policies": {"default": {"maxAttempts": 4, "backoff": "constant", "initialDelay": "500ms"}}}
ROLLED = 5000
"""Messages when pods are replaced."""
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
    stage.mail.forget()


@contextmanager
def away(stage: Stage, namespace: str, *deployments: str) -> Iterator[None]:
    """End all pods of deployments at once, as a node's end does, and let them be at the end."""
    where = f"--namespace={namespace}"
    try:
        for name in deployments:
            stage.kubectl("scale", f"deployment/{name}", "--replicas=0", where)
        gone = [name for name in _pods(stage, namespace) if name.startswith(deployments)]
        stage.kubectl("delete", "pods", *gone, where, "--force", "--grace-period=0", "--ignore-not-found")
        still = set(gone)
        wait_until("no pod of them", lambda: not still & set(_pods(stage, namespace)), 90)
        yield
    finally:
        for name in deployments:
            stage.kubectl("scale", f"deployment/{name}", "--replicas=1", where)
        for name in deployments:
            stage.kubectl.wait(f"deployment/{name}", "condition=Available", namespace=namespace, seconds=180)


def _deployments(stage: Stage, namespace: str) -> list[str]:
    found = stage.kubectl.get("deployments", f"--namespace={namespace}")["items"]
    return [each["metadata"]["name"] for each in found]


def _pods(stage: Stage, namespace: str) -> list[str]:
    return [each["metadata"]["name"] for each in stage.kubectl.get("pods", f"--namespace={namespace}")["items"]]


def _same(stage: Stage) -> list[tuple[str, str]]:
    """What tells one pod from its successor, of both actors; a container that is started anew changes it, too."""
    pods = [pod for each in (FIRST, SECOND) for pod in stage.pods(each)]
    return sorted((pod["metadata"]["uid"], container(pod, name)) for pod in pods for name in (RUNTIME, SIDECAR))


def _kill(stage: Stage, actor: str, name: str) -> None:
    """SIGKILL for a container of one pod of an actor; return when the kubelet has seen it."""
    pod = stage.running(actor)[0]
    before = container(pod, name)
    stage.target.kill(before)

    def replaced() -> bool:
        found = stage.get(f"pod/{pod['metadata']['name']}")
        return container(found, name) != before

    wait_until(f"another container {name}", replaced, 120)


@pytest.mark.parametrize("name", [pytest.param(SIDECAR, marks=pytest.mark.core), RUNTIME])
def test_a_container_is_killed(flow: Flow, name: str) -> None:
    def breaks() -> None:
        for actor in (FIRST, SECOND):
            _kill(flow.stage, actor, name)

    flow.run(f"{name} killed, once in each actor", breaks)


@pytest.mark.core
def test_pods_are_deleted_without_grace(flow: Flow) -> None:
    def breaks() -> None:
        names = [f"pod/{flow.stage.running(each)[0]['metadata']['name']}" for each in (FIRST, SECOND)]
        where = f"--namespace={flow.stage.namespace}"
        flow.stage.kubectl("delete", *names, where, "--force", "--grace-period=0")

    flow.run("a pod of each actor deleted without grace", breaks)


def test_a_node_is_drained(flow: Flow) -> None:
    """By `kubectl drain`, which the disruption budgets make wait until what was evicted first is replaced.

    The node is the only one, so it takes pods again as soon as the first ones have gone.
    """
    stage, kubectl, node = flow.stage, flow.stage.kubectl, flow.stage.target.node
    serving: list[int] = []

    def breaks() -> None:
        before = {pod["metadata"]["uid"] for each in (FIRST, SECOND) for pod in stage.pods(each)}
        words = ("drain", node, f"--pod-selector=asya.sh/actor in ({FIRST},{SECOND})", "--delete-emptydir-data")
        with ThreadPoolExecutor(1) as pool:
            drain = pool.submit(kubectl, *words, "--ignore-daemonsets", "--timeout=240s", seconds=260)
            try:
                wait_until("a first eviction", lambda: len(serves()) < len(before) or drain.done(), 120)
            finally:
                kubectl("uncordon", node)
            wait_until("the drain's end", lambda: bool(serves()) and drain.done(), 260)
            drain.result()
        wait_until("both pods of both", lambda: len(serves()) == len(before), 180)
        assert not before & serves(), "the drain has evicted them all"

    def serves() -> set[str]:
        found = {each: {pod["metadata"]["uid"] for pod in stage.serving(each)} for each in (FIRST, SECOND)}
        serving.append(min(len(each) for each in found.values()))
        return set().union(*found.values())

    flow.run("node drained, one pod of each actor after the other", breaks)
    assert min(serving) >= 1, "the budget leaves a pod of each"


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
        route=[EATER],
        payload=lambda n: {"ms": MILLISECONDS, "eat": n in range(5, 5 + EATERS)},
        messages=_SOME,
        feed=False,
    )
    (pod,) = stage.running(EATER)
    (status,) = (each for each in pod["status"]["containerStatuses"] if each["name"] == RUNTIME)
    name, where = pod["metadata"]["name"], f"--namespace={stage.namespace}"
    # Where the kernel ends the whole group (cgroup v2), the container is replaced; else only the runtime's worker is.
    workers = stage.kubectl("logs", name, where, f"--container={RUNTIME}").count("killed by SIGKILL")
    assert status["restartCount"] + workers >= EATERS
    stage.remove(EATER)


@pytest.mark.core
def test_the_broker_is_restarted(flow: Flow) -> None:
    flow.run("broker restarted", flow.stage.target.restart_broker, feed=False)


def test_the_api_server_is_killed(flow: Flow) -> None:
    before = _same(flow.stage)
    flow.run("API server killed and restarted", flow.stage.target.restart_apiserver)
    assert _same(flow.stage) == before


def test_crossplane_and_its_function_are_killed_and_stay_away(flow: Flow) -> None:
    """Messages flow, and pods stay as they are, also when both come back."""
    stage, before = flow.stage, _same(flow.stage)
    names = _deployments(stage, "crossplane-system")
    assert any(name.startswith("function-asya") for name in names)
    with ExitStack() as stack:
        flow.run(
            "Crossplane and the function killed, and away until the end",
            lambda: stack.enter_context(away(stage, "crossplane-system", *names)),
        )
    stage.ready(FIRST, SECOND)
    assert _same(stage) == before


def test_keda_is_killed_and_stays_away(flow: Flow) -> None:
    """An actor at zero stays there meanwhile, and its messages wait."""
    stage, before = flow.stage, _same(flow.stage)
    scaling = {"minReplicaCount": 0, "maxReplicaCount": 1, "pollingInterval": 1, "cooldownPeriod": 300}
    stage.kubectl.apply(stage.actor(LEFT_AT_ZERO, scaling=scaling))
    stage.ready(LEFT_AT_ZERO)
    names = [each for each in _deployments(stage, "asya-system") if "keda" in each and "admission" not in each]
    assert len(names) == 2, names
    with ExitStack() as stack:
        flow.run(
            "KEDA killed, and away until the end; actors with pods",
            lambda: stack.enter_context(away(stage, "asya-system", *names)),
        )
        assert _same(stage) == before
        waiting = stage.mail.send([LEFT_AT_ZERO], [{"n": n, "ms": 1} for n in range(_SOME)])
        wait_until("messages counted", lambda: stage.mail.depths()[LEFT_AT_ZERO] == _SOME, 30)
        assert not stage.pods(LEFT_AT_ZERO)
    began = time.monotonic()
    stage.mail.wait(waiting, 240)
    flow.count("KEDA away; messages for an actor at zero, until it is back", waiting, time.monotonic() - began)
    stage.remove(LEFT_AT_ZERO)


def test_image_and_handler_change(flow: Flow) -> None:
    """Messages flow until the last pod is a new one, and beyond."""
    stage = flow.stage
    image = stage.target.image("e2e/worker:2")
    patch = json.dumps({"spec": {"image": image, "handler": "work.other"}})

    def rolled_out() -> bool:
        pods = stage.pods(FIRST)
        images = [each["image"] for pod in pods for each in pod["spec"]["containers"]]
        return images == [image] * SCALING["minReplicaCount"] and all(is_ready(pod) for pod in pods)

    def breaks() -> None:
        stage.kubectl(
            "patch", f"asyncactor/{FIRST}", f"--namespace={stage.namespace}", "--type=merge", f"--patch={patch}"
        )
        wait_until("only new pods", rolled_out, 300, lambda: str(stage.mail.depths()))

    sent = flow.run(
        "image and handler of the first actor changed", breaks, payload=lambda _: {"ms": 8}, messages=ROLLED
    )
    calls = [stage.mail.result(each)["payload"]["calls"][0] for each in (sent[0], sent[-1])]
    assert [(call["version"], call["handler"]) for call in calls] == [("1", "work"), ("2", "other")]
