"""RabbitMQ: objects of the messaging topology operator (rabbitmq.com/v1beta1, from v1.16 on).

The topology is that of `asya.transports.rabbitmq.topology`; a test compares the two. The namespace's exchange belongs
to the crew (`shared`); the delay ladder belongs to the platform, whose chart makes it. An actor's user may configure
nothing, write to the namespace's exchange and to the top of the ladder, and read its own queue.
"""

from __future__ import annotations

from asya_composer import names
from asya_composer.errors import CompositionError
from asya_composer.model import Context, Manifest, PodAccess, QueueStatus, Resource, Trigger
from asya_composer.settings import RabbitmqSettings, TransportName
from asya_composer.transports.rabbitmq.identity import credentials, fingerprint, identity
from asya_composer.transports.rabbitmq.management import management_tls, trust
from asya_composer.transports.rabbitmq.objects import settings_of
from asya_composer.transports.rabbitmq.queues import bindings, policies, queues
from asya_composer.transports.rabbitmq.shared import exchanges

_CA_VOLUME, _CA_FOLDER = "asya-rabbitmq-ca", "/etc/asya/rabbitmq"


class Rabbitmq:
    """RabbitMQ, as `asya_composer.model.Transport` asks."""

    name: TransportName = "rabbitmq"

    def resources(self, context: Context) -> list[Resource]:
        """Return what is shared (the crew's only), queues, bindings, policy, user, its rights, KEDA's trust."""
        made = {each.key: each for each in queues(context)}
        topology = [*exchanges(context, made), *made.values(), *bindings(context, made), *policies(context)]
        return [*topology, *identity(context), *management_tls(context)]

    def pod(self, context: Context) -> PodAccess:
        """Return address, credentials by reference, and the way to the broker."""
        settings = settings_of(context)
        env: list[Manifest] = [
            {"name": "ASYA_RABBITMQ_HOST", "value": settings.host},
            {"name": "ASYA_RABBITMQ_PORT", "value": str(settings.amqp_port)},
            {"name": "ASYA_RABBITMQ_VHOST", "value": settings.vhost},
            {"name": "ASYA_RABBITMQ_TLS", "value": str(settings.tls).lower()},
            {"name": "ASYA_RABBITMQ_CONSUMER_TIMEOUT", "value": settings.consumer_timeout},
        ]
        for variable, key in (("ASYA_RABBITMQ_USERNAME", "username"), ("ASYA_RABBITMQ_PASSWORD", "password")):
            env.append({"name": variable, "valueFrom": {"secretKeyRef": {"name": credentials(context), "key": key}}})
        egress = [{"to": [_broker(settings)], "ports": [{"port": settings.amqp_port, "protocol": "TCP"}]}]
        if settings.ca is None:
            return PodAccess(env=env, egress=egress, credentials=fingerprint(context))
        env.append({"name": "ASYA_RABBITMQ_CA", "value": f"{_CA_FOLDER}/{settings.ca.key}"})
        volume = {"name": _CA_VOLUME, "configMap": {"name": settings.ca.name}}
        mount = {"name": _CA_VOLUME, "mountPath": _CA_FOLDER, "readOnly": True}
        return PodAccess(env=env, egress=egress, volumes=[volume], mounts=[mount], credentials=fingerprint(context))

    def trigger(self, context: Context) -> Trigger:
        """Return KEDA's rabbitmq scaler over HTTP: only that counts messages that are being worked on."""
        scaling, settings = context.actor.spec.scaling, settings_of(context)
        if scaling.scale_on_delayed:
            raise CompositionError(
                "spec.scaling.scaleOnDelayed",
                "delayed messages of all actors share queues on RabbitMQ, so they cannot be counted by actor",
            )
        metadata = {
            "queueName": names.queue(context),
            "vhostName": settings.vhost,
            "protocol": "http",
            "host": settings.management_url,
            "mode": "QueueLength",
            "value": str(scaling.queue_length),
            "activationValue": str(scaling.activation_queue_length),
            "excludeUnacknowledged": str(not scaling.scale_on_in_flight).lower(),
        }
        keys = [{"parameter": key, "name": credentials(context), "key": key} for key in ("username", "password")]
        return Trigger("rabbitmq", metadata, {"secretTargetRef": keys, **trust(context)})

    def queue(self, context: Context) -> QueueStatus:
        """Return the queue's name."""
        return QueueStatus(names.queue(context))


def _broker(settings: RabbitmqSettings) -> Manifest:
    """Return the broker as a peer of the network policy."""
    if settings.egress_cidr is not None:
        return {"ipBlock": {"cidr": settings.egress_cidr}}
    namespace = settings.broker_namespace or settings.cluster.namespace
    peer: Manifest = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    # The server keeps no empty map, so each look would write it anew. Without a selector it is all pods.
    return {**peer, "podSelector": {"matchLabels": settings.broker_labels}} if settings.broker_labels else peer
