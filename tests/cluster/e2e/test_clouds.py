"""Actors on SQS: their objects are carried out at moto by `fake_provider`, and a pod with an actor's identity has the
rights of that actor and no others. Authorisation is on all the while.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from tests.cluster import platform
from tests.cluster.clouds.aws_server import ACCOUNT
from tests.cluster.clouds.crds import definitions
from tests.cluster.e2e.install import SQS_REGION as REGION
from tests.cluster.e2e.stage import Stage
from tests.cluster.e2e.target import Own, Target
from tests.cluster.processes import Component, Listening
from tests.cluster.waiting import wait_until

from asya_composer.kinds import COMPOSED

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.xdist_group("e2e")]
NAMESPACE, MINE, NEIGHBOUR = "clouds", "mine", "neighbour"
PORT = 4570
TOKEN = "/var/run/secrets/aws/token"
PROBE = Path(__file__).with_name("probe.py")
_CONFIG = {
    "apiVersion": "aws.m.upbound.io/v1beta1",
    "kind": "ClusterProviderConfig",
    "metadata": {"name": "default"},
    "spec": {"credentials": {"source": "IRSA"}},
}
# What a provider's package brings: Crossplane may compose its kinds.
_ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "fake-provider", "labels": {"rbac.crossplane.io/aggregate-to-crossplane": "true"}},
    "rules": [
        {
            "apiGroups": sorted({each.group for each in COMPOSED if each.provider is not None}),
            "resources": ["*"],
            "verbs": ["*"],
        }
    ],
}


@pytest.fixture(scope="module")
def own(target: Target) -> Own:
    if not isinstance(target, Own):
        pytest.skip("the clouds stand beside the node, which is this repository's own cluster's")
    return target


@pytest.fixture(scope="module")
def endpoint(own: Own) -> Iterator[str]:
    """moto with authorisation, and the provider; the cloud's kinds are served."""
    plan, processes, kubectl = own.cluster.plan, own.cluster.processes, own.kubectl
    kubectl.apply(*definitions())
    for each in definitions():
        kubectl.wait(f"crd/{each['metadata']['name']}", "condition=Established")
    kubectl.apply(_CONFIG, _ROLE)
    words = [f"--kubeconfig={plan.kubeconfig}", f"--host={plan.network.node}", f"--region={REGION}"]
    command = (sys.executable, "-m", "tests.cluster.clouds", "run", *words, f"--aws-port={PORT}", "--no-pubsub")
    root = {"PYTHONPATH": str(Path(__file__).parents[3])}
    clouds = Component("clouds", command, Listening(plan.network.node, PORT), environment=root)
    processes.start(clouds)
    processes.wait(clouds)
    yield f"http://{plan.network.node}:{PORT}"
    processes.stop("clouds")


@pytest.fixture(scope="module")
def clouds(own: Own, endpoint: str) -> Iterator[Stage]:
    """Two actors, whose queues, roles and policies are there."""
    stage = Stage(own, NAMESPACE)
    stage.kubectl.apply(*(stage.actor(name, transport="sqs") for name in (MINE, NEIGHBOUR)))
    try:
        for name in (MINE, NEIGHBOUR):
            for condition in ("QueueReady", "IdentityReady"):
                stage.kubectl.wait(f"asyncactor/{name}", f"condition={condition}", namespace=NAMESPACE, seconds=180)
        yield stage
    finally:
        # While the provider is there, which lets go of what it has made.
        stage.kubectl("delete", "asyncactors", "--all", f"--namespace={NAMESPACE}", "--timeout=120s", seconds=150)
        kinds = ",".join(each.resource for each in COMPOSED if each.server == "aws")
        wait_until("no queue of theirs", lambda: not stage.get(kinds)["items"], 120)


def queue(endpoint: str, actor: str) -> str:
    return f"{endpoint}/{ACCOUNT}/asya_{NAMESPACE}_{actor}"


def probe(stage: Stage, endpoint: str, actor: str) -> Any:
    """A pod with the service account of an actor, which reads both queues."""
    deployment = stage.get(f"deployment/{actor}-sqs")["spec"]["template"]["spec"]
    role = stage.get("roles.iam.aws.m.upbound.io", "--selector", f"asya.sh/actor={actor}")["items"][0]
    environment = {"AWS_ROLE_ARN": role["status"]["atProvider"]["arn"], "AWS_WEB_IDENTITY_TOKEN_FILE": TOKEN}
    environment |= {"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": REGION}
    token = {"audience": "sts.amazonaws.com", "expirationSeconds": 600, "path": Path(TOKEN).name}
    words = [endpoint, REGION, queue(endpoint, MINE), queue(endpoint, NEIGHBOUR)]
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
    stage.kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def over() -> bool:
        return str(stage.get(f"pod/{metadata['name']}")["status"].get("phase")) in {"Succeeded", "Failed"}

    wait_until("the probe's end", over, 90, lambda: stage.kubectl("describe", f"pod/{metadata['name']}", _where()))
    said = stage.kubectl("logs", metadata["name"], _where())
    return {each["queue"]: each for each in map(json.loads, said.splitlines())}


def _where() -> str:
    return f"--namespace={NAMESPACE}"


def test_a_pod_reads_its_own_queue_and_no_neighbours(clouds: Stage, own: Own, endpoint: str) -> None:
    # Of the clouds that run now: the log has those of earlier runs on this cluster too.
    lines = (own.cluster.plan.logs / "clouds.log").read_text().splitlines()
    administrator = json.loads([line for line in lines if '"administrator"' in line][-1])["administrator"]
    with own.network():
        sqs: Any = boto3.client(
            "sqs",
            endpoint_url=endpoint,
            region_name=REGION,
            aws_access_key_id=administrator["access_key_id"],
            aws_secret_access_key=administrator["secret_access_key"],
        )
        for actor in (MINE, NEIGHBOUR):
            sqs.send_message(QueueUrl=queue(endpoint, actor), MessageBody=f"for {actor}")
    said = probe(clouds, endpoint, MINE)
    assert said[f"asya_{NAMESPACE}_{MINE}"]["read"] == [f"for {MINE}"]
    # moto refuses in XML, of which the library takes the status for a code.
    assert said[f"asya_{NAMESPACE}_{NEIGHBOUR}"]["refused"] in {"AccessDenied", "403"}
    with own.network():
        for actor in (MINE, NEIGHBOUR):
            sqs.purge_queue(QueueUrl=queue(endpoint, actor))
