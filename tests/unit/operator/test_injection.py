"""What becomes of a Pod: the owner's part stays, ours is added once."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from tests.unit.operator.objects import COMPOSED, Manifest, pod

from asya.operator.injection import Injected, InjectionRefusedError, inject, read


def injected(given: Manifest, composed: Manifest = COMPOSED) -> Injected:
    return inject(given, "chat", composed)


def test_the_owners_part_stays_as_it_is() -> None:
    given = pod()
    before = copy.deepcopy(given)
    found = injected(given).pod
    assert given == before
    assert found["spec"]["containers"][:-1] == given["spec"]["containers"]
    assert found["spec"]["initContainers"][:-1] == given["spec"]["initContainers"]
    assert found["spec"]["volumes"][:1] == given["spec"]["volumes"]
    assert found["metadata"]["ownerReferences"] == given["metadata"]["ownerReferences"]
    assert {key: value for key, value in found["metadata"]["labels"].items() if key in given["metadata"]["labels"]} == (
        given["metadata"]["labels"]
    )


def test_the_sidecar_is_as_composed_but_does_not_speak_for_the_pods_readiness() -> None:
    found = injected(pod()).pod
    sidecar = dict(COMPOSED["initContainers"][0])
    del sidecar["readinessProbe"]
    assert found["spec"]["initContainers"][-1] == sidecar
    assert found["spec"]["volumes"][1:] == COMPOSED["volumes"]
    assert found["metadata"]["labels"] == {"app": "vllm", "asya.sh/inject": "chat", **COMPOSED["labels"]}
    assert found["metadata"]["annotations"] == {"asya.sh/injected": "chat"}


def test_the_stock_handler_runs_in_the_sidecars_image_and_is_told_what_to_call() -> None:
    runtime = injected(pod()).pod["spec"]["containers"][-1]
    call = {"port": 8000, "protocol": "openai", "path": "/", "health_path": None, "timeout": 300.0}
    assert runtime == {
        "name": "asya-runtime",
        "image": "ghcr.io/asya/asya-sidecar:0.1.0",
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "/opt/asya/asya_runtime.py"],
        "env": [
            {"name": "ASYA_SOCKET_DIR", "value": "/var/run/asya"},
            {"name": "LOG", "value": "debug"},
            {"name": "ASYA_HANDLER", "value": "asya.operator.stock.Workload.handle"},
            {"name": "ASYA_WORKLOAD", "value": json.dumps(call)},
        ],
        "resources": {"limits": {"memory": "64Mi"}},
        "securityContext": {"runAsNonRoot": True},
        "volumeMounts": [
            {"name": "asya-sockets", "mountPath": "/var/run/asya"},
            {"name": "asya-runtime", "mountPath": "/opt/asya", "readOnly": True},
        ],
    }


def test_a_pod_with_no_lists_of_its_own_gets_them() -> None:
    given = pod()
    del given["spec"]["initContainers"], given["spec"]["volumes"]
    found = injected(given).pod["spec"]
    assert [each["name"] for each in found["initContainers"]] == ["asya-sidecar"]
    assert found["volumes"] == COMPOSED["volumes"]


def test_a_second_time_changes_nothing() -> None:
    once = injected(pod()).pod
    assert injected(once) == Injected(once)


@pytest.mark.parametrize(
    ("grace", "warned"),
    [(600, False), (300, False), (299, True), (None, True)],
    ids=["long", "just", "short", "default"],
)
def test_a_short_grace_period_is_warned_of(grace: int | None, warned: bool) -> None:
    given = pod(terminationGracePeriodSeconds=grace)
    if grace is None:
        del given["spec"]["terminationGracePeriodSeconds"]
    warnings = injected(given).warnings
    assert bool(warnings) is warned
    assert all("terminationGracePeriodSeconds" in each and "300 s" in each for each in warnings)


def owned_by(kind: str, name: str) -> Manifest:
    found = pod()
    found["metadata"]["ownerReferences"][0].update(kind=kind, name=name)
    return found


def unowned() -> Manifest:
    found = pod()
    del found["metadata"]["ownerReferences"]
    return found


def labelled(**labels: str) -> Manifest:
    found = pod()
    found["metadata"]["labels"].update({f"asya.sh/{key}": value for key, value in labels.items()})
    return found


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (unowned(), "belongs to no workload"),
        (
            owned_by("ReplicaSet", "vllm-gpu-5d8c"),
            "bound to Deployment vllm, but this Pod belongs to ReplicaSet vllm-gpu-5d8c",
        ),
        (owned_by("ReplicaSet", "vllm"), "belongs to ReplicaSet vllm"),
        (owned_by("StatefulSet", "vllm"), "belongs to StatefulSet vllm"),
        (labelled(actor="other"), "label asya.sh/actor is 'other'; actor 'chat' needs 'chat' there"),
        (pod(containers=[{"name": "asya-runtime"}]), "container 'asya-runtime'"),
        (pod(initContainers=[{"name": "asya-sidecar"}]), "container 'asya-sidecar'"),
        (pod(volumes=[{"name": "asya-sockets"}]), "volume 'asya-sockets'"),
    ],
)
def test_a_pod_that_cannot_have_it_is_refused(given: Manifest, says: str) -> None:
    with pytest.raises(InjectionRefusedError, match=says):
        injected(given)


def test_a_stateful_set_owns_its_pods_itself() -> None:
    composed = {**COMPOSED, "workload": {**COMPOSED["workload"], "kind": "StatefulSet"}}
    assert len(injected(owned_by("StatefulSet", "vllm"), composed).pod["spec"]["containers"]) == 2
    with pytest.raises(InjectionRefusedError, match="belongs to StatefulSet other"):
        injected(owned_by("StatefulSet", "other"), composed)


@pytest.mark.parametrize("data", [None, {}, {"pod.json": "{"}])
def test_a_map_without_it_is_named(data: Any) -> None:
    with pytest.raises(InjectionRefusedError, match=r"ConfigMap chat-rabbitmq has no pod\.json"):
        read({"metadata": {"name": "chat-rabbitmq"}, "data": data})
