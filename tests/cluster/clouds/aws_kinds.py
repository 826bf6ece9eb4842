"""Which AWS kinds are carried out, and how."""

from __future__ import annotations

from typing import Any

from tests.cluster.clouds.iam_objects import Role, RolePolicy
from tests.cluster.clouds.managed import Reference, Service
from tests.cluster.clouds.sqs_objects import Queue, QueueAttribute

from asya_composer import kinds
from asya_composer.kinds import Kind


def services(sqs: Any, iam: Any) -> dict[Kind, Service]:
    """Return how each AWS kind is carried out by these clients of boto3."""
    queue = Reference(("queueUrl",), kinds.SQS_QUEUE, by_id=True)
    role = Reference(("role",), kinds.IAM_ROLE, by_id=False)
    redrive, allow = QueueAttribute(sqs, "redrivePolicy"), QueueAttribute(sqs, "redriveAllowPolicy")
    return {
        kinds.SQS_QUEUE: Service(Queue(sqs)),
        kinds.SQS_REDRIVE_POLICY: Service(redrive, (queue,)),
        kinds.SQS_REDRIVE_ALLOW_POLICY: Service(allow, (queue,)),
        kinds.IAM_ROLE: Service(Role(iam), named=True),
        kinds.IAM_ROLE_POLICY: Service(RolePolicy(iam), (role,), named=True),
    }
