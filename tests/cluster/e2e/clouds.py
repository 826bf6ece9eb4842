"""The clouds beside the node: moto for AWS and Google's emulator of Pub/Sub, with what carries objects out at both."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from tests.cluster import platform
from tests.cluster.clouds.aws_server import ACCOUNT
from tests.cluster.clouds.crds import definitions
from tests.cluster.e2e.install import AWS_PORT, KEDA_ROLE, PROJECT, PUBSUB_PORT, SQS_REGION
from tests.cluster.e2e.target import Own
from tests.cluster.plan import ROOT
from tests.cluster.processes import Component, Listening
from tests.cluster.waiting import wait_until
from tests.support.pubsub import EmulatorUnavailableError, find

from asya_composer.kinds import COMPOSED

_NAME = "clouds"
_KEDA = "deployment/keda-operator"
_KEDA_POLICY = ROOT / "crossplane" / "providers" / "aws" / "keda-policy.json"
_CONFIGS = [
    {
        "apiVersion": f"{server}.m.upbound.io/v1beta1",
        "kind": "ClusterProviderConfig",
        "metadata": {"name": "default"},
        "spec": spec,
    }
    for server, spec in (
        ("aws", {"credentials": {"source": "IRSA"}}),
        ("gcp", {"projectID": PROJECT, "credentials": {"source": "InjectedIdentity"}}),
    )
]
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


class Clouds:
    """Both clouds while they run. `pubsub` is host and port of the emulator, None where it is not installed."""

    def __init__(self, own: Own, login: dict[str, str], pubsub: str | None) -> None:
        self.own, self.pubsub = own, pubsub
        self.endpoint = f"http://{own.cluster.plan.network.at(AWS_PORT)}"
        self.login = {"AWS_ACCESS_KEY_ID": login["access_key_id"], "AWS_SECRET_ACCESS_KEY": login["secret_access_key"]}
        """The administrator's, as AWS's libraries look for it."""

    def client(self, service: str) -> Any:
        """Return the administrator's client of one of AWS's services; for calls in the cluster's network."""
        make: Any = boto3.client
        return make(
            service,
            endpoint_url=self.endpoint,
            region_name=SQS_REGION,
            aws_access_key_id=self.login["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.login["AWS_SECRET_ACCESS_KEY"],
        )


@contextmanager
def running(own: Own) -> Iterator[Clouds]:
    """Start the clouds, serve their kinds, and let KEDA's operator have a role at AWS."""
    kubectl, made = own.kubectl, list(definitions())
    kubectl.apply(*made)
    for each in made:
        kubectl.wait(f"crd/{each['metadata']['name']}", "condition=Established")
    kubectl.apply(*_CONFIGS, _ROLE)
    found = _start(own)
    try:
        _give_keda_its_role(found)
        yield found
    finally:
        own.cluster.processes.stop(_NAME)


def gone(own: Own, namespace: str) -> None:
    """Take the actors of a namespace away, while the provider is there, which lets go of what it has made."""
    where = f"--namespace={namespace}"
    own.kubectl("delete", "asyncactors", "--all", where, "--timeout=120s", seconds=150)
    kinds = ",".join(each.resource for each in COMPOSED if each.provider is not None)
    wait_until("no object of a cloud", lambda: not own.kubectl.get(kinds, where)["items"], 120)


def _start(own: Own) -> Clouds:
    plan, processes = own.cluster.plan, own.cluster.processes
    pubsub = plan.network.at(PUBSUB_PORT) if _has_emulator() else None
    words = [f"--kubeconfig={plan.kubeconfig}", f"--host={plan.network.node}", f"--region={SQS_REGION}"]
    words += [f"--aws-port={AWS_PORT}", f"--pubsub-port={PUBSUB_PORT}" if pubsub else "--no-pubsub"]
    command = (sys.executable, "-m", "tests.cluster.clouds", "run", *words)
    log = plan.logs / f"{_NAME}.log"
    before = len(_told(log))
    component = Component(_NAME, command, Listening(plan.network.node, AWS_PORT), environment={"PYTHONPATH": str(ROOT)})
    processes.start(component)
    processes.wait(component)
    # One line for each time that they ran on this cluster.
    wait_until("the clouds' administrator", lambda: len(_told(log)) > before, 60, lambda: processes.tail(_NAME))
    return Clouds(own, _told(log)[-1]["administrator"], pubsub)


def _has_emulator() -> bool:
    try:
        return find().exists()
    except EmulatorUnavailableError:
        return False


def _told(log: Path) -> list[Any]:
    lines = log.read_text().splitlines() if log.exists() else []
    return [json.loads(line) for line in lines if line.startswith("{") and '"administrator"' in line]


def _give_keda_its_role(clouds: Clouds) -> None:
    """As docs/operate/transports/sqs.md has it; the release's values name the role."""
    kubectl, issuer = clouds.own.kubectl, "kubernetes.default.svc.cluster.local"
    subject = f"system:serviceaccount:{platform.NAMESPACE}:keda-operator"
    trust = {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{issuer}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{issuer}:aud": "sts.amazonaws.com", f"{issuer}:sub": subject}},
    }
    with clouds.own.network():
        iam = clouds.client("iam")
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        iam.create_role(RoleName=KEDA_ROLE, AssumeRolePolicyDocument=document)
        iam.put_role_policy(RoleName=KEDA_ROLE, PolicyName="lengths", PolicyDocument=_KEDA_POLICY.read_text())
    # Its pod may be older than what gives pods their identity, or keep a login of clouds that ran before.
    where = f"--namespace={platform.NAMESPACE}"
    kubectl("rollout", "restart", _KEDA, where)
    kubectl("rollout", "status", _KEDA, where, "--timeout=180s", seconds=200)
