"""Who an actor is to Google, and what it may do.

It receives from its own subscription and publishes within its namespace; what waits for its time, and its dead letters,
it alone publishes.

By default pods are principals themselves (Workload Identity Federation for GKE): one grant lets a whole namespace
publish to a topic. With service accounts Google knows no such set, so each topic gets one grant per neighbour: their
number grows with the square of the number of actors.
"""

from __future__ import annotations

from asya.api.rules_mesh import TERMINAL_ACTORS
from asya_composer import kinds, names
from asya_composer.model import Context, Resource
from asya_composer.transports.crew import crew_elsewhere
from asya_composer.transports.pubsub.grants import on_any_topic, on_subscription, on_topic
from asya_composer.transports.pubsub.topics import (
    DEAD_TOPIC,
    DELAYED_SUBSCRIPTION,
    DELAYED_TOPIC,
    EXTERNAL_NAME,
    SUBSCRIPTION,
    TOPIC,
    managed,
    settings_of,
)

ACCOUNT, WORKLOAD_IDENTITY = "google-service-account", "workload-identity"
CONSUMER, PUBLISHERS = "consumer", "publisher"
DELAYED_CONSUMER, DELAYED_PUBLISHER, DEAD_PUBLISHER = "delayed-consumer", "delayed-publisher", "dead-letter-publisher"
ACCOUNT_ANNOTATION = "iam.gke.io/gcp-service-account"
_WORKLOAD_IDENTITY_USER = "roles/iam.workloadIdentityUser"


def identity(context: Context) -> list[Resource]:
    """Return the actor's account, where it has one, and the grants."""
    account = _account(context) if has_account(context) else []
    return [*account, *_own(context, _member(context)), *_publishers(context)]


def has_account(context: Context) -> bool:
    """Tell whether the actor has a Google service account of its own."""
    return settings_of(context).identity == "serviceAccount"


def email(context: Context, actor: str | None = None) -> str:
    """Return the address of an actor's service account; this actor's when none is given."""
    return f"{names.gcp_account(context, actor)}@{settings_of(context).project}.iam.gserviceaccount.com"


def _account(context: Context) -> list[Resource]:
    account = {
        "project": settings_of(context).project,
        "displayName": f"asya {context.namespace}/{context.actor.name}"[:100],
        "description": f"Actor {context.actor.name} of namespace {context.namespace}",
    }
    pod = f"serviceAccount:{_pool(context)}[{context.namespace}/{names.service_account(context)}]"
    grant = {
        "serviceAccountIdRef": {"name": names.part(context, ACCOUNT)},
        "role": _WORKLOAD_IDENTITY_USER,
        "member": pod,
    }
    annotations = {EXTERNAL_NAME: names.gcp_account(context)}
    return [
        managed(
            context,
            ACCOUNT,
            "identity",
            kinds.GCP_SERVICE_ACCOUNT,
            {"forProvider": account},
            annotations=annotations,
        ),
        managed(context, WORKLOAD_IDENTITY, "identity", kinds.GCP_SERVICE_ACCOUNT_IAM_MEMBER, {"forProvider": grant}),
    ]


def _own(context: Context, member: str) -> list[Resource]:
    """Grants to the actor alone."""
    return [
        on_subscription(context, CONSUMER, "identity", SUBSCRIPTION, member),
        on_subscription(context, DELAYED_CONSUMER, "identity", DELAYED_SUBSCRIPTION, member),
        on_topic(context, DELAYED_PUBLISHER, "identity", DELAYED_TOPIC, member),
        on_topic(context, DEAD_PUBLISHER, "identity", DEAD_TOPIC, member),
    ]


def _publishers(context: Context) -> list[Resource]:
    """Grants on the actor's topic for its neighbours; with a crew elsewhere, its own on the crew's topics."""
    if has_account(context):
        # The actor itself is among its neighbours: it publishes what has waited for its time.
        senders = sorted({*context.neighbours, context.actor.name})
        found = [
            on_topic(context, f"{PUBLISHERS}-{name}", "identity", TOPIC, f"serviceAccount:{email(context, name)}")
            for name in senders
        ]
    else:
        everybody = f"principalSet://{_principals(context)}/namespace/{context.namespace}"
        found = [on_topic(context, PUBLISHERS, "identity", TOPIC, everybody)]
    there = crew_elsewhere(context)
    if there is None:
        return found
    for actor in TERMINAL_ACTORS:
        topic = {"topic": f"projects/{settings_of(context).project}/topics/{names.queue(there, actor)}"}
        found.append(on_any_topic(context, f"crew-{actor}", "identity", topic, _member(context)))
    return found


def _member(context: Context) -> str:
    if has_account(context):
        return f"serviceAccount:{email(context)}"
    return f"principal://{_principals(context)}/subject/ns/{context.namespace}/sa/{names.service_account(context)}"


def _principals(context: Context) -> str:
    settings = settings_of(context)
    number = settings.workload_identity_project_number or settings.project_number
    return f"iam.googleapis.com/projects/{number}/locations/global/workloadIdentityPools/{_pool(context)}"


def _pool(context: Context) -> str:
    settings = settings_of(context)
    return settings.workload_identity_pool or f"{settings.project}.svc.id.goog"
