"""The values with which the tests install Asya: x-sink keeps every message, and the base's bucket is where."""

from __future__ import annotations

from typing import Any

from tests.cluster.e2e.mail import BUCKET
from tests.cluster.e2e.stage import CHECKPOINT_SECRET

_SCALING = {"minReplicaCount": 0, "maxReplicaCount": 2, "pollingInterval": 1}
VALUES: dict[str, Any] = {
    "asya-crew": {
        "checkpoint": {"url": f"s3://{BUCKET}", "secretName": CHECKPOINT_SECRET},
        "spec": {"scaling": _SCALING},
    }
}
