"""Single rights on topics and subscriptions, each to one member."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from asya_composer import kinds, names
from asya_composer.model import Context, Manifest, Part, Resource
from asya_composer.transports.pubsub.topics import (
    DEAD_SUBSCRIPTION,
    DEAD_TOPIC,
    DELAYED_SUBSCRIPTION,
    DELAYED_TOPIC,
    SUBSCRIPTION,
    TOPIC,
    managed,
    settings_of,
)

PUBLISHER, SUBSCRIBER = "roles/pubsub.publisher", "roles/pubsub.subscriber"
_KEPT_BY: Final = {
    TOPIC: SUBSCRIPTION,
    DELAYED_TOPIC: DELAYED_SUBSCRIPTION,
    DEAD_TOPIC: DEAD_SUBSCRIPTION,
}


def on_topic(context: Context, key: str, part: Part, topic: str, member: str) -> Resource:
    """Return the right to publish to one of the actor's own topics, which is named by its key.

    It is left for later until the topic's subscription is ready: what is published before that, nobody keeps.
    """
    found = on_any_topic(context, key, part, {"topicRef": {"name": names.part(context, topic)}}, member)
    subscription = context.observed.condition(_KEPT_BY[topic], "Ready")
    if context.observed.get(key) is not None or (subscription is not None and subscription.is_true):
        return found
    name = names.part(context, _KEPT_BY[topic])
    why = f"{found.manifest['kind']} {found.manifest['metadata']['name']} waits for Subscription {name}"
    return replace(found, ready=False, why=why, later=True)


def on_any_topic(context: Context, key: str, part: Part, topic: Manifest, member: str) -> Resource:
    """Return the right to publish to a topic that is there; `topic` names it as a TopicIAMMember does."""
    grant = {"project": settings_of(context).project, **topic, "role": PUBLISHER, "member": member}
    return managed(context, key, part, kinds.PUBSUB_TOPIC_IAM_MEMBER, {"forProvider": grant})


def on_subscription(context: Context, key: str, part: Part, subscription: str, member: str) -> Resource:
    """Return the right to receive from one of the actor's own subscriptions, which is named by its key."""
    grant = {
        "project": settings_of(context).project,
        "subscriptionRef": {"name": names.part(context, subscription)},
        "role": SUBSCRIBER,
        "member": member,
    }
    return managed(context, key, part, kinds.PUBSUB_SUBSCRIPTION_IAM_MEMBER, {"forProvider": grant})


def forwarding(context: Context) -> list[Resource]:
    """Return what Pub/Sub's service agent needs to move dead letters; without it, it would deliver for ever."""
    agent = f"serviceAccount:service-{settings_of(context).project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
    return [
        on_topic(context, "dead-letter-forwarding", "queue", DEAD_TOPIC, agent),
        on_subscription(context, "dead-letter-settling", "queue", SUBSCRIPTION, agent),
    ]
