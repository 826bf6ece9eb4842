"""Actors on SQS and Pub/Sub: `fake_provider` carries their objects out at moto and the emulator, and their pods work.

A pod with an actor's identity has the rights of that actor and no others: authorisation at moto is on all the while.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster import platform
from tests.cluster.clouds.aws_server import ACCOUNT
from tests.cluster.e2e.cloud_mail import PubsubMail, SqsMail
from tests.cluster.e2e.clouds import Clouds, gone
from tests.cluster.e2e.install import SQS_REGION as REGION
from tests.cluster.e2e.stage import Stage
from tests.cluster.e2e.target import Own
from tests.cluster.waiting import wait_until

from asya.operator import crew

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900), pytest.mark.xdist_group("e2e")]
NAMESPACE, MINE, NEIGHBOUR, WORKS = "clouds", "mine", "neighbour", "works"
TOPICS = "topics"
TOKEN = "/var/run/secrets/aws/token"
PROBE = Path(__file__).with_name("probe.py")
CREW = ("x-sink", "x-sump")
MESSAGES, MILLISECONDS = 80, 1000
"""More than one pod gets done before the autoscaler has looked for a second one."""


@pytest.fixture(scope="module")
def queues(own: Own, clouds: Clouds) -> Iterator[Stage]:
    """The namespace on SQS."""
    yield (made := Stage(own, NAMESPACE))
    gone(own, made.namespace)


@pytest.fixture(scope="module")
def asleep(queues: Stage) -> Stage:
    """Two actors, whose queues, roles and policies are there, and which never get a pod."""
    paused = {"paused": True, "pausedReplicaCount": 0}
    queues.kubectl.apply(*(queues.actor(name, transport="sqs", scaling=paused) for name in (MINE, NEIGHBOUR)))
    for name in (MINE, NEIGHBOUR):
        for condition in ("QueueReady", "IdentityReady"):
            queues.kubectl.wait(f"asyncactor/{name}", f"condition={condition}", namespace=NAMESPACE, seconds=180)
    return queues


def queue(clouds: Clouds, actor: str) -> str:
    return f"{clouds.endpoint}/{ACCOUNT}/asya_{NAMESPACE}_{actor}"


def probe(stage: Stage, clouds: Clouds, actor: str) -> Any:
    """A pod with the service account of an actor, which reads both queues."""
    deployment = stage.get(f"deployment/{actor}-sqs")["spec"]["template"]["spec"]
    role = stage.get("roles.iam.aws.m.upbound.io", "--selector", f"asya.sh/actor={actor}")["items"][0]
    environment = {"AWS_ROLE_ARN": role["status"]["atProvider"]["arn"], "AWS_WEB_IDENTITY_TOKEN_FILE": TOKEN}
    environment |= {"AWS_ENDPOINT_URL": clouds.endpoint, "AWS_REGION": REGION}
    token = {"audience": "sts.amazonaws.com", "expirationSeconds": 600, "path": Path(TOKEN).name}
    words = [clouds.endpoint, REGION, queue(clouds, MINE), queue(clouds, NEIGHBOUR)]
    container = {
        "name": "probe",
        "image": f"{stage.target.cluster.plan.registry}/asya/asya-crew:{platform.version()}",  # type: ignore[attr-defined]
        "command": ["python", "-c", PROBE.read_text(), *words],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "volumeMounts": [{"name": "token", "mountPath": str(Path(TOKEN).parent)}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "serviceAccountName": deployment["serviceAccountName"],
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}}],
    }
    metadata = {"name": f"probe-{actor}", "namespace": NAMESPACE}
    # An earlier run on this cluster may have left one, and a pod is not changed.
    stage.kubectl("delete", f"pod/{metadata['name']}", _where(), "--ignore-not-found")
    stage.kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def over() -> bool:
        return str(stage.get(f"pod/{metadata['name']}")["status"].get("phase")) in {"Succeeded", "Failed"}

    wait_until("the probe's end", over, 90, lambda: stage.kubectl("describe", f"pod/{metadata['name']}", _where()))
    said = stage.kubectl("logs", metadata["name"], _where())
    return {each["queue"]: each for each in map(json.loads, said.splitlines())}


def _where() -> str:
    return f"--namespace={NAMESPACE}"


def test_a_pod_reads_its_own_queue_and_no_neighbours(asleep: Stage, clouds: Clouds, own: Own) -> None:
    with own.network():
        sqs = clouds.client("sqs")
        for actor in (MINE, NEIGHBOUR):
            sqs.send_message(QueueUrl=queue(clouds, actor), MessageBody=f"for {actor}")
    said = probe(asleep, clouds, MINE)
    assert said[f"asya_{NAMESPACE}_{MINE}"]["read"] == [f"for {MINE}"]
    # moto refuses in XML, of which the library takes the status for a code.
    assert said[f"asya_{NAMESPACE}_{NEIGHBOUR}"]["refused"] in {"AccessDenied", "403"}
    with own.network():
        for actor in (MINE, NEIGHBOUR):
            sqs.purge_queue(QueueUrl=queue(clouds, actor))


def test_an_actor_on_sqs_works_from_zero_pods_to_two_and_back(queues: Stage, clouds: Clouds) -> None:
    """KEDA asks as itself how long the queue is, pods receive with the actor's role, and x-sink is on SQS as well."""
    scaling = {"minReplicaCount": 0, "maxReplicaCount": 2, "pollingInterval": 1, "cooldownPeriod": 5, "queueLength": 5}
    quick = {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}
    queues.kubectl.apply(queues.actor(WORKS, transport="sqs", scaling={**scaling, "advanced": quick}))
    queues.ready(WORKS, *CREW, seconds=300)
    assert not queues.pods(WORKS)
    mail = SqsMail(clouds, NAMESPACE)
    sent = mail.send([WORKS], [{"n": n, "ms": MILLISECONDS} for n in range(MESSAGES)])
    wait_until("two pods", lambda: len(queues.serving(WORKS)) == 2, 180, lambda: queues.describe(WORKS))
    mail.wait(sent, 240)
    kept = mail.kept()
    assert {kept[each][0] for each in sent} == {"succeeded"}
    wait_until("no pod", lambda: not queues.pods(WORKS), 180, lambda: queues.describe(WORKS))
    wait_until("empty queues", mail.empty, 60, lambda: str(mail.depths()))


def test_an_actor_on_pubsub_works(own: Own, clouds: Clouds) -> None:
    """With a fixed number of pods: KEDA's trigger reads Cloud Monitoring, of which the emulator has nothing."""
    if clouds.pubsub is None:
        pytest.skip("the Pub/Sub emulator (of the Google Cloud SDK, with Java) is not installed")
    stage, fixed = Stage(own, TOPICS), {"transport": "pubsub", "scaling": {"enabled": False}, "replicas": 1}
    try:
        # The operator's crew is scaled; that of somebody else is left as it is.
        where = f"--namespace={platform.NAMESPACE}"
        for each in crew.read(stage.kubectl.get("configmap", "asya-crew", where)):
            metadata = {**each["metadata"], "namespace": TOPICS}
            stage.kubectl.apply({**each, "metadata": metadata, "spec": {**each["spec"], **fixed}})
        stage.kubectl.apply(stage.actor(WORKS, **fixed))
        stage.ready(WORKS, *CREW, seconds=300)
        mail = PubsubMail(clouds, TOPICS)
        sent = mail.send([WORKS], [{"n": n, "ms": 10} for n in range(MESSAGES)])
        mail.wait(sent, 240)
        kept = mail.kept()
        assert {kept[each][0] for each in sent} == {"succeeded"}
    finally:
        gone(own, TOPICS)
