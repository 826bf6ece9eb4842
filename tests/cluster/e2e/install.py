"""The values with which the tests install Asya: x-sink keeps every message, and an actor may ask for SQS or Pub/Sub."""

from __future__ import annotations

from typing import Any

from tests.cluster.clouds.aws_server import ACCOUNT
from tests.cluster.e2e.mail import BUCKET
from tests.cluster.e2e.stage import CHECKPOINT_SECRET
from tests.cluster.plan import Network

SQS_REGION = "eu-central-1"
PROJECT = "asya-e2e"
AWS_PORT, PUBSUB_PORT = 4570, 8570
"""Where the clouds of `tests.cluster.clouds` are on the node."""
KEDA_ROLE = "keda"
# The cluster's tokens name this issuer; `fake_provider` and moto stand for the account.
_SQS = {"region": SQS_REGION, "accountId": ACCOUNT, "oidcProvider": "kubernetes.default.svc.cluster.local"}
_PUBSUB = {"project": PROJECT, "projectNumber": "123456789012"}
_SCALING = {"minReplicaCount": 0, "maxReplicaCount": 2, "pollingInterval": 1}


def _composed(sqs: dict[str, Any], pubsub: dict[str, Any]) -> dict[str, Any]:
    return {"composition": {"input": {"transports": {"sqs": sqs, "pubsub": pubsub}}}}


VALUES: dict[str, Any] = {
    "asya-crew": {
        "checkpoint": {"url": f"s3://{BUCKET}", "secretName": CHECKPOINT_SECRET},
        "spec": {"scaling": _SCALING},
    },
    "asya-crossplane": _composed(_SQS, _PUBSUB),
}
_NODE = Network()
_KEDA = {"enabled": True, "roleArn": f"arn:aws:iam::{ACCOUNT}:role/{KEDA_ROLE}"}
CLOUDS: dict[str, Any] = {
    "asya-crossplane": _composed({"endpoint": f"http://{_NODE.at(AWS_PORT)}"}, {"endpoint": _NODE.at(PUBSUB_PORT)}),
    "keda": {
        "podIdentity": {"aws": {"irsa": {"enabled": True, "roleArn": f"arn:aws:iam::{ACCOUNT}:role/{KEDA_ROLE}"}}}
    },
}
"""More of them for this repository's own cluster: its clouds stand beside the node."""
