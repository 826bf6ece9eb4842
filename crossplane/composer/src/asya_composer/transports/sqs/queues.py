"""Queue, dead-letter queue and what ties them together.

Queue and dead-letter queue need nothing of each other. Each half of the tie is an object of its own, so that neither
queue is written twice, and is made once both queues are seen: SQS takes no redrive policy to a queue that is not there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from asya_composer import kinds, names
from asya_composer.errors import CompositionError
from asya_composer.kinds import Kind
from asya_composer.model import Context, Manifest, Part, Resource
from asya_composer.objects import by_condition, make
from asya_composer.settings import SqsSettings
from asya_composer.transports.clusters import only_own

QUEUE, DEAD_LETTERS = "queue", "dead-letter-queue"
REDRIVE, REDRIVE_ALLOW = "redrive-policy", "redrive-allow-policy"

NAMESPACE, ACTOR = "asya.sh/namespace", "asya.sh/actor"
"""Tags by which the permission policy tells whose a queue is."""
CLUSTER = "asya.sh/cluster"
"""Tag with the name of the cluster that has the queue."""

MAX_VISIBILITY: Final = 43_200
"""Longest time, in seconds from its receipt, that SQS lets a message be held; extending cannot go past it."""
VISIBILITY_MARGIN: Final = 60
"""Seconds for publishing the results after the longest call."""
MAX_RETENTION: Final = 1_209_600
"""A message's age goes on counting in the dead-letter queue, so that keeps messages as long as SQS can."""
_LONG_POLL = 20
_POLICIES = ("Observe", "Create", "Update")
"""Without LateInitialize: it would write the redrive policies into the queue too, which then undoes every change."""


def settings_of(context: Context) -> SqsSettings:
    """Return the platform's settings for SQS.

    Raises:
        CompositionError: It has none.
    """
    settings = context.settings.transports.sqs
    if settings is None:
        raise CompositionError("spec.transport", "this platform has no SQS: its input has no transports.sqs")
    return settings


def arn(context: Context, name: str) -> str:
    """Return the ARN of a queue by its name; `name` may be a pattern."""
    settings = settings_of(context)
    return f"arn:{settings.partition}:sqs:{settings.region}:{settings.account_id}:{name}"


def tags(context: Context) -> dict[str, str]:
    """Return the tags of everything that is the actor's; the permission policy relies on the first two."""
    own = {NAMESPACE: context.namespace, ACTOR: context.actor.name}
    if context.settings.cluster_name is not None:
        own[CLUSTER] = context.settings.cluster_name
    return {**settings_of(context).tags, **own}


def managed(context: Context, key: str, part: Part, kind: Kind, spec: Mapping[str, Any], **metadata: Any) -> Resource:  # noqa: ANN401
    """Return an object of an AWS provider; `spec` is its `forProvider` and whatever stands beside it."""
    config = {"kind": "ClusterProviderConfig", "name": settings_of(context).provider_config}
    manifest = make(context, kind, names.part(context, key), {**spec, "providerConfigRef": config}, **metadata)
    return by_condition(key, part, manifest, context.observed)


def queues(context: Context) -> list[Resource]:
    """Return the queues, then what ties them together."""
    _refuse_cut_namespace(context)
    return [
        _queue(context, DEAD_LETTERS, names.sqs_dead_letters(context), retention=MAX_RETENTION),
        _queue(context, QUEUE, names.sqs_queue(context), retention=settings_of(context).retention_seconds),
        *_ties(context),
    ]


def _refuse_cut_namespace(context: Context) -> None:
    """Refuse a namespace of which names of 80 characters hold a part only: permissions go by it."""
    beginning = names.sqs_namespace(context).removesuffix("*")
    if not all(name.startswith(beginning) for name in (names.sqs_queue(context), names.sqs_dead_letters(context))):
        sentence = f"too long for queues at SQS, whose names have 80 characters: {context.namespace!r}"
        raise CompositionError("metadata.namespace", sentence)


def _queue(context: Context, key: str, name: str, *, retention: int) -> Resource:
    wanted = {
        "name": name,
        "region": settings_of(context).region,
        "messageRetentionSeconds": retention,
        "receiveWaitTimeSeconds": _LONG_POLL,
        "visibilityTimeoutSeconds": _visibility(context),
        "tags": tags(context),
        **_size(context),
        **_order(context),
        **_encryption(context),
    }
    found = managed(context, key, "queue", kinds.SQS_QUEUE, {"forProvider": wanted, **_deletion(context)})
    return only_own(context, _where_it_should_be(context, found, arn(context, name)), CLUSTER, "tags")


def _where_it_should_be(context: Context, queue: Resource, expected: str) -> Resource:
    """Every permission names the queue by account and region of the settings; elsewhere nobody could reach it."""
    actual = context.observed.at(queue.key, "status", "atProvider", "arn")
    if actual in (None, expected):
        return queue
    error = f"Queue is {actual}, but the settings of the platform make it {expected}"
    return Resource(queue.key, queue.part, queue.manifest, ready=False, why=error, error=error)


def _ties(context: Context) -> list[Resource]:
    own, dead = names.sqs_queue(context), names.sqs_dead_letters(context)
    redrive = {"deadLetterTargetArn": arn(context, dead), "maxReceiveCount": context.actor.spec.queue.delivery_limit}
    allow = {"redrivePermission": "byQueue", "sourceQueueArns": [arn(context, own)]}
    wanted = (
        (REDRIVE, QUEUE, kinds.SQS_REDRIVE_POLICY, "redrivePolicy", redrive),
        (REDRIVE_ALLOW, DEAD_LETTERS, kinds.SQS_REDRIVE_ALLOW_POLICY, "redriveAllowPolicy", allow),
    )
    both = all(context.observed.at(key, "status", "atProvider", "arn") for key in (QUEUE, DEAD_LETTERS))
    return [
        managed(context, key, "queue", kind, {"forProvider": _tie(context, queue, field, document)})
        for key, queue, kind, field, document in wanted
        if both or context.observed.get(key) is not None
    ]


def _tie(context: Context, queue: str, field: str, document: Manifest) -> Manifest:
    reference = {"name": names.part(context, queue)}
    return {"region": settings_of(context).region, "queueUrlRef": reference, field: json_text(document)}


def _visibility(context: Context) -> int:
    timeout = context.actor.resiliency().actor_timeout
    wanted = math.ceil(timeout) + VISIBILITY_MARGIN
    if wanted > MAX_VISIBILITY:
        longest = MAX_VISIBILITY - VISIBILITY_MARGIN
        sentence = f"SQS lets a message be held for 12 hours: at most {longest}s, not {timeout:g}s"
        raise CompositionError("spec.resiliency.actorTimeout", sentence)
    return wanted


def _size(context: Context) -> Manifest:
    most = settings_of(context).max_message_bytes
    return {} if most is None else {"maxMessageSize": most}


def _order(context: Context) -> Manifest:
    """By group, both are: otherwise a queue is limited to 300 calls a second."""
    if not settings_of(context).fifo:
        return {}
    return {"fifoQueue": True, "deduplicationScope": "messageGroup", "fifoThroughputLimit": "perMessageGroupId"}


def _encryption(context: Context) -> Manifest:
    key = settings_of(context).kms_key_id
    return {"sqsManagedSseEnabled": True} if key is None else {"kmsMasterKeyId": key}


def _deletion(context: Context) -> Manifest:
    """SQS cannot delete a queue only if it is empty, so all but `Delete` leave it."""
    deletes = context.actor.spec.queue.deletion_policy == "Delete"
    return {"managementPolicies": [*_POLICIES, "Delete"] if deletes else list(_POLICIES)}


def json_text(document: Manifest) -> str:
    """Return JSON that is the same each time; a provider compares it as text."""
    return json.dumps(document, separators=(",", ":"), sort_keys=True)
