"""Topics and subscriptions of an actor: what it receives, what waits for its time, its dead letters.

All is kept by subscriptions: a topic without one keeps nothing. So nobody is let publish to a topic before its
subscription is there (`grants`).
"""

from __future__ import annotations

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
DELAYED_TOPIC, DELAYED_SUBSCRIPTION = "delayed-queue", "delayed-subscription"
DEAD_TOPIC, DEAD_SUBSCRIPTION = "dead-letter-queue", "dead-letter-subscription"
EXTERNAL_NAME = "crossplane.io/external-name"

CLUSTER = "asya-cluster"
"""Label with the name of the cluster that has topic and subscription."""

ACK_DEADLINE: Final = 60
"""Seconds until a message comes again that was taken by somebody who died; the sidecar extends what it works on."""
DELAYED_DEADLINE: Final = 10
"""Shortest that Google has: whoever takes a delayed message says at once how long it is to wait."""
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
    """Return topics and subscriptions."""
    own, delayed, dead = names.queue(context), names.delayed(context), names.dead_letters(context)
    return [
        _named(context, DEAD_TOPIC, kinds.PUBSUB_TOPIC, dead, _topic(context)),
        _named(context, DEAD_SUBSCRIPTION, kinds.PUBSUB_SUBSCRIPTION, dead, _dead_subscription(context)),
        _named(context, DELAYED_TOPIC, kinds.PUBSUB_TOPIC, delayed, _topic(context)),
        _named(context, DELAYED_SUBSCRIPTION, kinds.PUBSUB_SUBSCRIPTION, delayed, _delayed_subscription(context)),
        _named(context, TOPIC, kinds.PUBSUB_TOPIC, own, _topic(context)),
        _named(context, SUBSCRIPTION, kinds.PUBSUB_SUBSCRIPTION, own, _own_subscription(context)),
    ]


def _named(context: Context, key: str, kind: Kind, name: str, wanted: Manifest) -> Resource:
    everything = {"project": settings_of(context).project, "labels": _labels(context), **wanted}
    spec = {"forProvider": everything, **_deletion(context)}
    found = managed(context, key, "queue", kind, spec, annotations={EXTERNAL_NAME: name})
    return only_own(context, found, CLUSTER, "labels")


def _topic(context: Context) -> Manifest:
    key = settings_of(context).kms_key_name
    return {} if key is None else {"kmsKeyName": key}


def _own_subscription(context: Context) -> Manifest:
    return {
        **_subscription(context, TOPIC, settings_of(context).retention),
        "ackDeadlineSeconds": ACK_DEADLINE,
        **({"enableMessageOrdering": True} if settings_of(context).ordered else {}),
        # No retry policy: what is given back comes again at once, and retries of a handler are messages of their own.
        "deadLetterPolicy": {
            "deadLetterTopicRef": {"name": names.part(context, DEAD_TOPIC)},
            "maxDeliveryAttempts": _delivery_limit(context),
        },
    }


def _delayed_subscription(context: Context) -> Manifest:
    # No dead-letter policy: a message that waits for hours is handed out every ten minutes.
    deadline = {"ackDeadlineSeconds": DELAYED_DEADLINE}
    return {**_subscription(context, DELAYED_TOPIC, settings_of(context).retention), **deadline}


def _dead_subscription(context: Context) -> Manifest:
    return {**_subscription(context, DEAD_TOPIC, _LONGEST_RETENTION), "ackDeadlineSeconds": ACK_DEADLINE}


def _subscription(context: Context, topic: str, retention: str) -> Manifest:
    return {
        "topicRef": {"name": names.part(context, topic)},
        "messageRetentionDuration": retention,
        # Without it, a subscription that nobody reads for 31 days is gone: an actor at zero.
        "expirationPolicy": {"ttl": ""},
    }


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
