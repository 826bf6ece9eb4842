"""Topic and subscription of an actor, and those of its dead letters.

The broker moves dead letters itself, in the name of Pub/Sub's service agent: without the two grants that the agent gets
here, it would deliver for ever.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from asya_composer import kinds, names
from asya_composer.errors import CompositionError
from asya_composer.kinds import Kind
from asya_composer.model import Context, Manifest, Part, Resource
from asya_composer.objects import by_condition, make
from asya_composer.settings import PubsubSettings
from asya_composer.transports.clusters import only_own

TOPIC, SUBSCRIPTION = "queue", "subscription"
DEAD_TOPIC, DEAD_SUBSCRIPTION = "dead-letter-queue", "dead-letter-subscription"
EXTERNAL_NAME = "crossplane.io/external-name"
PUBLISHER, SUBSCRIBER = "roles/pubsub.publisher", "roles/pubsub.subscriber"

CLUSTER = "asya-cluster"
"""Label with the name of the cluster that has topic and subscription."""

ACK_DEADLINES: Final = (10, 600)
"""Shortest and longest deadline in seconds; what takes longer is extended by the sidecar."""
DELIVERY_LIMITS: Final = (5, 100)
_LONGEST_RETENTION = "2678400s"
_WITHOUT_DELETE = ("Observe", "Create", "Update", "LateInitialize")
_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def settings_of(context: Context) -> PubsubSettings:
    """Return the platform's settings for Pub/Sub.

    Raises:
        CompositionError: It has none.
    """
    settings = context.settings.transports.pubsub
    if settings is None:
        raise CompositionError("spec.transport", "this platform has no Pub/Sub: its input has no transports.pubsub")
    return settings


def managed(context: Context, key: str, part: Part, kind: Kind, spec: Mapping[str, Any], **metadata: Any) -> Resource:  # noqa: ANN401
    """Return an object of a Google provider; `spec` is its `forProvider` and whatever stands beside it."""
    config = {"kind": "ClusterProviderConfig", "name": settings_of(context).provider_config}
    manifest = make(context, kind, names.part(context, key), {**spec, "providerConfigRef": config}, **metadata)
    return by_condition(key, part, manifest, context.observed)


def topics(context: Context) -> list[Resource]:
    """Return topics, subscriptions and the service agent's grants."""
    dead = names.dead_letters(context)
    return [
        _named(context, DEAD_TOPIC, kinds.PUBSUB_TOPIC, dead, _topic(context)),
        _named(context, DEAD_SUBSCRIPTION, kinds.PUBSUB_SUBSCRIPTION, dead, _dead_subscription(context)),
        _named(context, TOPIC, kinds.PUBSUB_TOPIC, names.queue(context), _topic(context)),
        _named(context, SUBSCRIPTION, kinds.PUBSUB_SUBSCRIPTION, names.queue(context), _subscription(context)),
        *_service_agent(context),
    ]


def on_topic(context: Context, key: str, part: Part, topic: Manifest, member: str) -> Resource:
    """Return the right to publish; `topic` names the topic by its id or by its object."""
    grant = {"project": settings_of(context).project, **topic, "role": PUBLISHER, "member": member}
    return managed(context, key, part, kinds.PUBSUB_TOPIC_IAM_MEMBER, {"forProvider": grant})


def on_subscription(context: Context, key: str, part: Part, member: str) -> Resource:
    """Return the right to receive what is sent to the actor."""
    reference = {"name": names.part(context, SUBSCRIPTION)}
    grant = {
        "project": settings_of(context).project,
        "subscriptionRef": reference,
        "role": SUBSCRIBER,
        "member": member,
    }
    return managed(context, key, part, kinds.PUBSUB_SUBSCRIPTION_IAM_MEMBER, {"forProvider": grant})


def _named(context: Context, key: str, kind: Kind, name: str, wanted: Manifest) -> Resource:
    everything = {"project": settings_of(context).project, "labels": _labels(context), **wanted}
    spec = {"forProvider": everything, **_deletion(context)}
    found = managed(context, key, "queue", kind, spec, annotations={EXTERNAL_NAME: name})
    return only_own(context, found, CLUSTER, "labels")


def _topic(context: Context) -> Manifest:
    key = settings_of(context).kms_key_name
    return {} if key is None else {"kmsKeyName": key}


def _subscription(context: Context) -> Manifest:
    shortest, longest = ACK_DEADLINES
    deadline = math.ceil(context.actor.resiliency().actor_timeout)
    return {
        "topicRef": {"name": names.part(context, TOPIC)},
        "ackDeadlineSeconds": min(max(deadline, shortest), longest),
        "messageRetentionDuration": settings_of(context).retention,
        # Without it, a subscription that nobody reads for 31 days is gone: an actor at zero.
        "expirationPolicy": {"ttl": ""},
        # For what comes back unsettled; retries of a handler are messages of their own.
        "retryPolicy": {"minimumBackoff": "1s", "maximumBackoff": "60s"},
        "deadLetterPolicy": {
            "deadLetterTopicRef": {"name": names.part(context, DEAD_TOPIC)},
            "maxDeliveryAttempts": _delivery_limit(context),
        },
    }


def _dead_subscription(context: Context) -> Manifest:
    return {
        "topicRef": {"name": names.part(context, DEAD_TOPIC)},
        "ackDeadlineSeconds": 60,
        "messageRetentionDuration": _LONGEST_RETENTION,
        "expirationPolicy": {"ttl": ""},
    }


def _service_agent(context: Context) -> list[Resource]:
    agent = f"serviceAccount:service-{settings_of(context).project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
    dead = {"topicRef": {"name": names.part(context, DEAD_TOPIC)}}
    return [
        on_topic(context, "dead-letter-forwarding", "queue", dead, agent),
        on_subscription(context, "dead-letter-settling", "queue", agent),
    ]


def _delivery_limit(context: Context) -> int:
    wanted, (least, most) = context.actor.spec.queue.delivery_limit, DELIVERY_LIMITS
    if not least <= wanted <= most:
        raise CompositionError("spec.queue.deliveryLimit", f"Pub/Sub allows {least} to {most}, not {wanted}")
    return wanted


def _labels(context: Context) -> dict[str, str]:
    own = {"asya-namespace": context.namespace, "asya-actor": context.actor.name}
    if context.settings.cluster_name is not None:
        own[CLUSTER] = context.settings.cluster_name
    found = {**settings_of(context).labels, **own}
    for name in found:
        if not _LABEL.fullmatch(name):
            sentence = f"the input's transports.pubsub.labels has {name!r}, which Google does not take"
            raise CompositionError("spec.transport", sentence)
    return found


def _deletion(context: Context) -> Manifest:
    """Google cannot delete a subscription only if it is empty, so all but `Delete` leave it."""
    if context.actor.spec.queue.deletion_policy == "Delete":
        return {}
    return {"managementPolicies": list(_WITHOUT_DELETE)}
