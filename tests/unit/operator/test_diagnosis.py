"""What people read on their actor, by what their Pods' statuses say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.unit.operator.objects import Manifest, actor
from tests.unit.operator.statuses import (
    IMAGE,
    IMPORT_ERROR,
    NOW,
    ago,
    condition,
    crashing,
    ended,
    handler,
    handler_waits,
    pod,
    running,
    sidecar,
    sidecar_waits,
    unscheduled,
)

from asya.operator.diagnosis import diagnose, is_unready
from asya.operator.events import MESSAGE_LENGTH, Event

PULL = (
    f'Back-off pulling image "{IMAGE}": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack '
    f'image "{IMAGE}": failed to resolve reference "{IMAGE}": {IMAGE}: not found'
)
DENIED = (
    f'failed to pull and unpack image "{IMAGE}": failed to resolve reference: failed to authorize: failed to fetch '
    "anonymous token: unexpected status from GET request to https://bob:hunter22@registry.example.org/token: 401"
)
WHERE = "-n shop -l asya.sh/actor=resize -c asya-runtime"
STARTED = condition("Ready", "False", ago(minutes=6), "ContainersNotReady")
FRESH = {"status": {"startTime": ago(seconds=10)}}


def resize(**status: Any) -> Manifest:
    return actor("shop", "resize", handler="app.process", image=IMAGE, status=status)


def seen(*pods: Manifest, **status: Any) -> list[Event]:
    return list(diagnose([resize(**status)], pods, NOW).values())


PAGE = Path(__file__).parents[3] / "docs" / "operate" / "troubleshooting.md"
CASES: dict[str, tuple[Manifest, str, list[str]]] = {
    "image-not-there": (
        pod(handler_waits("ImagePullBackOff", PULL)),
        "ImageNotPulled",
        [
            f'Image "{IMAGE}" of container asya-runtime cannot be pulled: the registry has no such image or tag.',
            "Check spec.image",
        ],
    ),
    "image-first-failure": (pod(handler_waits("ErrImagePull", PULL)), "ImageNotPulled", ["no such image or tag"]),
    "image-denied": (
        pod(handler_waits("ErrImagePull", DENIED)),
        "ImageNotPulled",
        ["the registry refuses to give it", "spec.imagePullSecrets", "https://***@registry.example.org"],
    ),
    "registry-away": (
        pod(handler_waits("ErrImagePull", "dial tcp: lookup registry.example.org: no such host")),
        "ImageNotPulled",
        ["the registry does not answer"],
    ),
    "image-never-pulled": (
        pod(handler_waits("ErrImageNeverPull", f'Container image "{IMAGE}" is not present with pull policy of Never')),
        "ImageNotPulled",
        ["is told never to pull one"],
    ),
    "image-name": (
        pod(
            handler_waits(
                "InvalidImageName",
                f'Failed to apply default image tag "{IMAGE}": couldn\'t parse image name: invalid reference format',
            )
        ),
        "ImageNameInvalid",
        ["is no name of an image", "in spec.image", "invalid reference format"],
    ),
    "secret-missing": (
        pod(handler_waits("CreateContainerConfigError", 'secret "openai" not found')),
        "ConfigMissing",
        ["Container asya-runtime lacks a Secret", 'secret "openai" not found.', "spec.secretRefs"],
    ),
    "key-missing": (
        pod(handler_waits("CreateContainerConfigError", "couldn't find key token in Secret shop/openai")),
        "ConfigMissing",
        ["couldn't find key token in Secret shop/openai."],
    ),
    "brokers-secret-missing": (
        pod(
            handler_waits("PodInitializing"),
            sidecar_waits("CreateContainerConfigError", 'secret "resize-user" not found'),
        ),
        "ConfigMissing",
        ["Container asya-sidecar lacks", "IdentityReady"],
    ),
    "handler-not-imported": (
        pod(crashing(ended(1, IMPORT_ERROR))),
        "HandlerNotLoaded",
        ["Handler app.process in image", IMPORT_ERROR + ".", "spec.handler", f"kubectl logs {WHERE} --previous"],
    ),
    "handler-not-imported-just-now": (
        pod(handler(state=ended(1, IMPORT_ERROR), ready=False, started=False)),
        "HandlerNotLoaded",
        [IMPORT_ERROR],
    ),
    "handler-being-tried-again": (
        pod(
            handler(
                state={"running": {"startedAt": ago(seconds=3)}},
                lastState=ended(1, IMPORT_ERROR),
                ready=False,
                started=False,
                restartCount=2,
            )
        ),
        "HandlerNotLoaded",
        [IMPORT_ERROR],
    ),
    "handler-without-words": (
        pod(crashing(ended(139))),
        "ContainerCrashes",
        ["Container asya-runtime", "ends again and again (exit code 139).", "--previous"],
    ),
    "stopped-by-a-probe": (
        pod(crashing(ended(0, reason="Completed"))),
        "ContainerCrashes",
        ["(exit code 0). It may have been stopped because a probe failed."],
    ),
    "sidecar-cannot-start": (
        pod(
            handler_waits("PodInitializing"),
            sidecar_waits(
                "CrashLoopBackOff", lastState=ended(1, "cannot start: the broker refuses user resize"), restartCount=3
            ),
        ),
        "SidecarFailed",
        ["The platform's sidecar does not start: cannot start: the broker refuses user resize.", "No message is lost"],
    ),
    "out-of-memory": (
        pod(crashing(ended(137, reason="OOMKilled"))),
        "OutOfMemory",
        ["Container asya-runtime was killed because it ran out of memory: its limit is 512Mi.", "spec.resources"],
    ),
    "up-again-and-down-again": (
        pod(
            handler(state={"running": {"startedAt": ago(minutes=1)}}, lastState=ended(1, IMPORT_ERROR), restartCount=3)
        ),
        "HandlerNotLoaded",
        [IMPORT_ERROR],
    ),
    "out-of-memory-once": (
        pod(
            handler(
                state={"running": {"startedAt": ago(minutes=1)}},
                lastState=ended(137, reason="OOMKilled"),
                restartCount=1,
            )
        ),
        "OutOfMemory",
        ["512Mi"],
    ),
    "no-python": (
        pod(
            crashing(
                ended(
                    128,
                    "failed to create containerd task: failed to create shim task: OCI runtime create failed: "
                    'exec: "python3": executable file not found in $PATH: unknown',
                    "StartError",
                )
            )
        ),
        "ContainerNotStarted",
        ["cannot be started", "spec.pythonExecutable"],
    ),
    "no-python-at-first": (
        pod(handler_waits("RunContainerError", 'exec: "python3": executable file not found in $PATH')),
        "ContainerNotStarted",
        ["spec.pythonExecutable"],
    ),
    "runs-as-root": (
        pod(handler_waits("CreateContainerError", "cannot find user app in image")),
        "ContainerNotStarted",
        ["Check the image and the command."],
    ),
    "no-node": (
        unscheduled(minutes=1),
        "Unschedulable",
        ["No node takes the Pod.", "2 Insufficient nvidia.com/gpu", "spec.nodeSelector"],
    ),
    "no-volume": (
        pod(
            handler_waits("PodInitializing"),
            sidecar_waits("PodInitializing"),
            condition("PodReadyToStartContainers", "False", ago(minutes=5)),
        ),
        "PodNotSetUp",
        ["no volume or network", "kubectl describe pods -n shop -l asya.sh/actor=resize"],
    ),
    "loads-too-long": (
        pod(handler(started=False, ready=False, state={"running": {"startedAt": ago(minutes=11)}})),
        "StartsTooLong",
        ["more than ten minutes: the handler is still being loaded", f"kubectl logs {WHERE}"],
    ),
    "sidecar-not-ready": (pod(None, sidecar(ready=False), STARTED), "NotReady", ["cannot reach the queue"]),
}


@pytest.mark.parametrize(("given", "reason", "words"), CASES.values(), ids=CASES.keys())
def test_a_cause_is_one_event_on_the_actor(given: Manifest, reason: str, words: list[str]) -> None:
    (event,) = seen(given)
    assert (event.reason, event.kind) == (reason, "Warning")
    assert (event.regarding.kind, event.regarding.namespace, event.regarding.name) == ("AsyncActor", "shop", "resize")
    for each in words:
        assert each in event.message
    assert "hunter22" not in event.message
    assert len(event.message) <= MESSAGE_LENGTH, "what to do is at the end, and must not be cut"


@pytest.mark.parametrize(
    "given",
    [
        pod(),
        pod(handler_waits("ContainerCreating"), sidecar_waits("PodInitializing"), **FRESH),
        pod(
            handler_waits("PodInitializing"),
            sidecar_waits("CreateContainerConfigError", 'secret "u" not found'),
            **FRESH,
        ),
        pod(handler(started=False, ready=False, state={"running": {"startedAt": ago(minutes=9)}})),
        pod(handler(ready=False), None, condition("Ready", "False", ago(minutes=4))),
        pod(handler(lastState=ended(1, IMPORT_ERROR), restartCount=1)),
        pod(handler(lastState=ended(1, IMPORT_ERROR), restartCount=9)),
        pod(
            handler_waits("PodInitializing"),
            sidecar(state=ended(1, "cannot start: access refused"), ready=False),
            status={"startTime": ago(seconds=90)},
        ),
        pod(handler(lastState=ended(137, reason="OOMKilled"), restartCount=1)),
        pod(handler(state=ended(0, reason="Completed"), ready=False)),
        pod(
            None,
            sidecar(lastState=ended(1, "cannot start: access refused"), restartCount=2, ready=False),
            condition("Ready", "False", ago(minutes=4)),
        ),
        pod(crashing(ended(1, IMPORT_ERROR)), metadata={"deletionTimestamp": ago(seconds=5)}),
        pod(crashing(ended(1, IMPORT_ERROR)), status={"phase": "Failed", "reason": "Evicted"}),
        pod(crashing(ended(1, IMPORT_ERROR)), metadata={"labels": {"asya.sh/actor": "other"}}),
        pod(crashing(ended(1, IMPORT_ERROR)), metadata={"namespace": "elsewhere"}),
        unscheduled(seconds=10),
    ],
    ids=[
        "well",
        "being-made",
        "broker-makes-its-secret",
        "loading",
        "not-ready-for-a-while",
        "one-crash-and-well",
        "crashes-long-ago",
        "brokers-user-is-being-made",
        "out-of-memory-long-ago",
        "done",
        "sidecar-is-up-and-waits-for-the-handler",
        "being-deleted",
        "evicted",
        "of-another-actor",
        "of-another-namespace",
        "a-node-may-be-coming",
    ],
)
def test_what_is_ordinary_or_over_is_no_event(given: Manifest) -> None:
    assert seen(given) == []


def test_several_pods_with_one_cause_are_one_event_and_the_newest_speaks() -> None:
    old = pod(crashing(ended(1, "cannot import handler 'app.old'")))
    new = pod(crashing(ended(1, IMPORT_ERROR)), metadata={"name": "resize-8d-x", "creationTimestamp": ago(minutes=5)})
    for order in ([old, new], [new, old]):
        (event,) = seen(*order)
        assert IMPORT_ERROR in event.message
    assert event.name == seen(old)[0].name, "one object for the cause, whatever it says"
    assert event.name.startswith("resize.")


def test_pulling_an_image_and_pausing_say_the_same() -> None:
    failure = PULL.partition("ErrImagePull: ")[2]
    (pulling,), (pausing,) = (
        seen(pod(handler_waits("ErrImagePull", failure))),
        seen(pod(handler_waits("ImagePullBackOff", PULL))),
    )
    assert pulling == pausing
    (bare,) = seen(pod(handler_waits("ImagePullBackOff", f'Back-off pulling image "{IMAGE}"')))
    assert bare.message.startswith(f'Image "{IMAGE}" of container asya-runtime cannot be pulled. Check spec.image')


def test_two_causes_are_two_events() -> None:
    assert sorted(each.reason for each in seen(pod(crashing(ended(1, IMPORT_ERROR))), unscheduled(minutes=1))) == [
        "HandlerNotLoaded",
        "Unschedulable",
    ]


def test_what_follows_from_a_crash_is_not_told_beside_it() -> None:
    given = pod(crashing(ended(1, IMPORT_ERROR)), sidecar(ready=False), STARTED)
    assert [each.reason for each in seen(given)] == ["HandlerNotLoaded"]


def test_secrets_of_last_words_are_not_told_and_long_words_are_cut() -> None:
    said = "cannot reach amqp://u:p4ssw0rd@broker/ with password=p4ssw0rd " + "x" * 4000
    (event,) = seen(pod(crashing(ended(1, said))))
    assert "p4ssw0rd" not in event.message
    assert "amqp://***@broker/" in event.message
    assert "--previous" in event.message[:MESSAGE_LENGTH]


def test_a_container_of_peoples_own_is_named() -> None:
    given = pod()
    given["status"]["containerStatuses"].append(
        running("cache", "redis:7", ready=False, state=ended(3, "bad option"), restartCount=1)
    )
    (event,) = seen(given)
    assert event.message.startswith('Container cache (image "redis:7") ends again and again: bad option.')


FORBIDDEN = 'Deployment: pods "resize-rabbitmq-7f9c-abcde" is forbidden: '
SECURITY = (
    'violates PodSecurity "restricted:latest": runAsNonRoot != true (container "asya-runtime" must not set '
    "securityContext.runAsNonRoot=false)"
)
QUOTA = "exceeded quota: compute, requested: limits.memory=64Gi, used: limits.memory=0, limited: limits.memory=8Gi"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (SECURITY, ["The cluster refuses to make Pods. Pods are forbidden: violates", "spec.securityContext"]),
        (
            QUOTA,
            ["requested: limits.memory=64Gi", "Ask for less in spec.resources, or have the namespace's quota raised."],
        ),
        ("error looking up service account shop/resize", ["ask whoever made that rule"]),
    ],
    ids=["pod-security", "quota", "other"],
)
def test_pods_that_may_not_be_made_are_told_from_the_actors_own_condition(said: str, words: list[str]) -> None:
    unready = {"type": "WorkloadReady", "status": "False", "reason": "Failed", "message": FORBIDDEN + said}
    (event,) = seen(conditions=[unready])
    assert event.reason == "PodsRefused"
    for each in words:
        assert each in event.message
    assert "7f9c" not in event.message, "each attempt has another name"
    assert seen(conditions=[{**unready, "status": "True"}]) == []


@pytest.mark.parametrize(
    ("status", "unready"),
    [
        ({}, True),
        ({"conditions": [{"type": "WorkloadReady", "status": "False"}]}, True),
        ({"conditions": [{"type": "WorkloadReady", "status": "True"}]}, False),
        ({"conditions": [{"type": "WorkloadReady", "status": "True"}], "replicas": 3, "readyReplicas": 2}, True),
        ({"conditions": [{"type": "WorkloadReady", "status": "True"}], "replicas": 3, "readyReplicas": 3}, False),
    ],
)
def test_where_pods_are_looked_at(status: Manifest, unready: bool) -> None:
    found = resize(**status)
    assert is_unready(found) is unready
    found["metadata"]["deletionTimestamp"] = ago(seconds=1)
    assert not is_unready(found)
    assert diagnose([found], [pod(crashing(ended(1, IMPORT_ERROR)))], NOW) == {}


def test_the_page_leads_from_each_reason_to_its_cure() -> None:
    table = PAGE.read_text().partition("## Events")[2].partition("```")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == {
        "PodsRefused",
        *(case[1] for case in CASES.values()),
    }
