"""Pub/Sub: objects of the namespaced Google providers (v1beta1 of pubsub. and cloudplatform.gcp.m.upbound.io)."""

from __future__ import annotations

from asya_composer import names
from asya_composer.errors import CompositionError
from asya_composer.model import Context, Manifest, PodAccess, QueueStatus, Resource, Trigger
from asya_composer.settings import PubsubSettings, TransportName
from asya_composer.transports import crew
from asya_composer.transports.pubsub.grants import forwarding
from asya_composer.transports.pubsub.identity import ACCOUNT_ANNOTATION, email, has_account, identity
from asya_composer.transports.pubsub.topics import settings_of, topics

_METADATA_SERVER = (("169.254.169.254/32", 80), ("169.254.169.252/32", 988))
"""Where pods get their tokens: with Dataplane V2, and without."""
_BACKLOG = "pubsub_googleapis_com:subscription_num_undelivered_messages"


class Pubsub:
    """Pub/Sub, as `asya_composer.model.Transport` asks."""

    name: TransportName = "pubsub"

    def resources(self, context: Context) -> list[Resource]:
        """Return topics, subscriptions, identity and grants."""
        return [*topics(context), *forwarding(context), *identity(context)]

    def pod(self, context: Context) -> PodAccess:
        """Return the project, the account's annotation where it has one, and the way to the API."""
        settings = settings_of(context)
        values = {**crew.variables(context), "ASYA_PUBSUB_PROJECT_ID": settings.project}
        if settings.endpoint is not None:
            values["ASYA_PUBSUB_ENDPOINT"] = settings.endpoint
        if settings.ordered:
            values["ASYA_PUBSUB_ORDERED"] = "true"
        return PodAccess(
            annotations={ACCOUNT_ANNOTATION: email(context)} if has_account(context) else {},
            env=[{"name": name, "value": value} for name, value in values.items()],
            egress=[_to(block, port) for block, port in ((settings.egress_cidr, _port(settings)), *_METADATA_SERVER)],
        )

    def trigger(self, context: Context) -> Trigger:
        """Return KEDA's prometheus scaler on the backlog that Google measures; its gcp-pubsub scaler is deprecated."""
        scaling, settings = context.actor.spec.scaling, settings_of(context)
        if not scaling.scale_on_in_flight:
            raise CompositionError(
                "spec.scaling.scaleOnInFlight", "Pub/Sub counts messages under way and waiting ones together"
            )
        own = f"https://monitoring.googleapis.com/v1/projects/{settings.project}/location/global/prometheus"
        metadata = {
            "serverAddress": settings.prometheus_address or own,
            "query": _backlog(context),
            "threshold": str(scaling.queue_length),
            "activationThreshold": str(scaling.activation_queue_length),
            # A subscription that never had a message has no series.
            "ignoreNullValues": "true",
        }
        google: Manifest = {"podIdentity": {"provider": "gcp"}}
        return Trigger("prometheus", metadata, google if settings.prometheus_address is None else None)

    def queue(self, context: Context) -> QueueStatus:
        """Return the name that topic and subscription share."""
        return QueueStatus(names.queue(context))


def _backlog(context: Context) -> str:
    """Return the query for one number: what waits for the actor or is worked on, and what waits for its time.

    Delayed messages come to the actor by a pod of its own, so there has to be one while any waits; more pods would not
    make their time come sooner. So, unless they are asked for as work, they count as just so many messages as the first
    pod starts for.
    """
    scaling, project = context.actor.spec.scaling, settings_of(context).project
    own, delayed = (
        f'{_BACKLOG}{{monitored_resource="pubsub_subscription",subscription_id="{name}",project_id="{project}"}}'
        for name in (names.queue(context), names.delayed(context))
    )
    # One value in any case: the scaler refuses an answer of several series.
    if scaling.scale_on_delayed:
        return f"sum({own} or {delayed})"
    return f"max({own} or clamp_max({delayed}, {scaling.activation_queue_length + 1}))"


def _port(settings: PubsubSettings) -> int:
    return 443 if settings.endpoint is None else int(settings.endpoint.rpartition(":")[2])


def _to(block: str, port: int) -> Manifest:
    return {"to": [{"ipBlock": {"cidr": block}}], "ports": [{"port": port, "protocol": "TCP"}]}
