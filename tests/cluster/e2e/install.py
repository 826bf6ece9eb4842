"""The values with which the tests install Asya: x-sink keeps every message, and an actor may ask for SQS."""

from __future__ import annotations

from typing import Any

from tests.cluster.clouds.aws_server import ACCOUNT
from tests.cluster.e2e.mail import BUCKET
from tests.cluster.e2e.stage import CHECKPOINT_SECRET

SQS_REGION = "eu-central-1"
# The cluster's tokens name this issuer; `fake_provider` and moto stand for the account.
_SQS = {"region": SQS_REGION, "accountId": ACCOUNT, "oidcProvider": "kubernetes.default.svc.cluster.local"}
_SCALING = {"minReplicaCount": 0, "maxReplicaCount": 2, "pollingInterval": 1}
VALUES: dict[str, Any] = {
    "asya-crew": {
        "checkpoint": {"url": f"s3://{BUCKET}", "secretName": CHECKPOINT_SECRET},
        "spec": {"scaling": _SCALING},
    },
    "asya-crossplane": {"composition": {"input": {"transports": {"sqs": _SQS}}}},
}
