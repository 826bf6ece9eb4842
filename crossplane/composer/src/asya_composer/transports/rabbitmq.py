"""RabbitMQ: objects of the messaging topology operator (rabbitmq.com/v1beta1, from v1.16 on).

The topology is that of `asya.transports.rabbitmq.topology`; a test compares the two. The namespace's exchange belongs
to its x-sink, which every namespace with actors has; the delay ladder belongs to the platform. An actor's user may
configure nothing, write to the namespace's exchange and to the top of the ladder, and read its own queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asya.policy import parse_duration
from asya_composer import kinds, names
from asya_composer.errors import CompositionError
from asya_composer.kinds import Kind
from asya_composer.model import Context, Manifest, Part, PodAccess, QueueStatus, Resource, Trigger
from asya_composer.objects import by_condition, make
from asya_composer.settings import RabbitmqSettings, TransportName

LADDER_TOP = "asya.delay.17"
"""Exchange at which delayed messages begin. See asya.transports.rabbitmq.ladder."""
ARRIVALS = "asya.delay.arrivals"
"""Exchange that hands out what has waited."""
OWNER_OF_EXCHANGE = "x-sink"
_HOUR_MS = 3_600_000
_CA_VOLUME, _CA_FOLDER = "asya-rabbitmq-ca", "/etc/asya/rabbitmq"
_TIMEOUT_PER_QUEUE = (3, 12)
_UNLIMITED_FROM = (4, 0)
_RETAIN_FROM = (1, 20)


class Rabbitmq:
    """RabbitMQ, as `asya_composer.model.Transport` asks."""

    name: TransportName = "rabbitmq"

    def resources(self, context: Context) -> list[Resource]:
        """Return exchange (x-sink's only), queues, bindings, policy, user and what it may do."""
        return [*_queues(context), *_bindings(context), *_policies(context), *_identity(context)]

    def pod(self, context: Context) -> PodAccess:
        """Return address, credentials by reference, and the way to the broker."""
        settings = _settings(context)
        env: list[Manifest] = [
            {"name": "ASYA_RABBITMQ_HOST", "value": settings.host},
            {"name": "ASYA_RABBITMQ_PORT", "value": str(settings.port)},
            {"name": "ASYA_RABBITMQ_VHOST", "value": settings.vhost},
            {"name": "ASYA_RABBITMQ_TLS", "value": str(settings.tls).lower()},
            {"name": "ASYA_RABBITMQ_CONSUMER_TIMEOUT", "value": settings.consumer_timeout},
        ]
        for variable, key in (("ASYA_RABBITMQ_USERNAME", "username"), ("ASYA_RABBITMQ_PASSWORD", "password")):
            env.append({"name": variable, "valueFrom": {"secretKeyRef": {"name": credentials(context), "key": key}}})
        broker = {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": settings.cluster.namespace}},
            "podSelector": {"matchLabels": settings.broker_labels},
        }
        egress = [{"to": [broker], "ports": [{"port": settings.port, "protocol": "TCP"}]}]
        if settings.ca is None:
            return PodAccess(env=env, egress=egress)
        env.append({"name": "ASYA_RABBITMQ_CA", "value": f"{_CA_FOLDER}/{settings.ca.key}"})
        volume = {"name": _CA_VOLUME, "configMap": {"name": settings.ca.name}}
        mount = {"name": _CA_VOLUME, "mountPath": _CA_FOLDER, "readOnly": True}
        return PodAccess(env=env, egress=egress, volumes=[volume], mounts=[mount])

    def trigger(self, context: Context) -> Trigger:
        """Return KEDA's rabbitmq scaler over HTTP: only that counts messages that are being worked on."""
        scaling, settings = context.actor.spec.scaling, _settings(context)
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
        return Trigger("rabbitmq", metadata, {"secretTargetRef": keys})

    def queue(self, context: Context) -> QueueStatus:
        """Return the queue's name."""
        return QueueStatus(names.queue(context))


def credentials(context: Context) -> str:
    """Name of the Secret that the topology operator makes for the actor's user."""
    return f"{names.part(context, 'user')}-user-credentials"


def _settings(context: Context) -> RabbitmqSettings:
    settings = context.settings.transports.rabbitmq
    if settings is None:
        raise CompositionError("spec.transport", "this platform has no RabbitMQ: its input has no transports.rabbitmq")
    return settings


def _queues(context: Context) -> list[Resource]:
    found: list[Resource] = []
    if context.actor.name == OWNER_OF_EXCHANGE:
        exchange = {"name": names.exchange(context), "type": "topic", "durable": True}
        found.append(_object(context, "exchange", "queue", kinds.RABBITMQ_EXCHANGE, exchange))
    # Arguments cannot change later, so here is only what never does; the rest is in policies.
    own = {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": names.exchange(context),
        "x-dead-letter-routing-key": _dead_letter_key(context),
        "x-dead-letter-strategy": "at-least-once",
        # The strategy falls back to at-most-once with any other overflow.
        "x-overflow": "reject-publish",
    }
    for key, name, arguments in (
        ("dead-letter-queue", names.dead_letters(context), {"x-queue-type": "quorum"}),
        ("queue", names.queue(context), own),
    ):
        queue = {"name": name, "type": "quorum", "durable": True, "arguments": arguments, **_deletion(context)}
        found.append(_object(context, key, "queue", kinds.RABBITMQ_QUEUE, queue))
    return found


def _deletion(context: Context) -> dict[str, Any]:
    match context.actor.spec.queue.deletion_policy:
        case "Delete":
            return {}
        case "DeleteIfEmpty":
            return {"deleteIfEmpty": True}
        case "Retain":
            if _version(_settings(context).operator_version) < _RETAIN_FROM:
                sentence = "Retain needs version 1.20 of the messaging topology operator, and the platform has an older"
                raise CompositionError("spec.queue.deletionPolicy", sentence)
            return {"deletionPolicy": "retain"}


def _bindings(context: Context) -> list[Resource]:
    queue, exchange, actor = names.queue(context), names.exchange(context), context.actor.name
    wanted = (
        ("binding", exchange, actor, queue),
        ("dead-letter-binding", exchange, _dead_letter_key(context), names.dead_letters(context)),
        ("delay-binding", ARRIVALS, f"#.{context.namespace}.{actor}", queue),
    )
    return [
        _object(
            context,
            key,
            "queue",
            kinds.RABBITMQ_BINDING,
            {"source": source, "destination": destination, "destinationType": "queue", "routingKey": routing},
        )
        for key, source, routing, destination in wanted
    ]


def _policies(context: Context) -> list[Resource]:
    """What of the queues may change: how often a message is delivered, and how long a delivery may be held."""
    found = {"delivery-limit": context.actor.spec.queue.delivery_limit, **_consumer_timeout(context)}
    policies = [_policy(context, "policy", names.queue(context), found)]
    if _version(_settings(context).version) >= _UNLIMITED_FROM:
        # Dead letters stay however often they are looked at. Below 4.0 that is so anyway, and -1 would drop them.
        policies.append(_policy(context, "dead-letter-policy", names.dead_letters(context), {"delivery-limit": -1}))
    return policies


def _policy(context: Context, key: str, queue: str, definition: Mapping[str, int]) -> Resource:
    spec = {
        "name": queue,
        "pattern": f"^{_literally(queue)}$",
        "applyTo": "queues",
        "definition": definition,
        "priority": 10,
    }
    return _object(context, key, "queue", kinds.RABBITMQ_POLICY, spec)


def _consumer_timeout(context: Context) -> dict[str, int]:
    """Let deliveries be held for as long as a call may take."""
    settings, call = _settings(context), context.actor.resiliency().actor_timeout
    limit = parse_duration(settings.consumer_timeout)
    if _version(settings.version) < _TIMEOUT_PER_QUEUE:
        if call < limit:
            return {}
        sentence = (
            f"RabbitMQ {settings.version} takes a delivery back after {settings.consumer_timeout} and cannot be told "
            "otherwise per queue before 3.12; shorten the timeout, or raise the broker's consumer_timeout"
        )
        raise CompositionError("spec.resiliency.actorTimeout", sentence)
    # In whole hours, so that a little more patience does not write to the broker.
    return {"consumer-timeout": max(int(limit * 1000), (int(call * 1000) // _HOUR_MS + 1) * _HOUR_MS)}


def _identity(context: Context) -> list[Resource]:
    """A user of the actor's own, with a password that the operator makes up.

    The tag lets the autoscaler ask the management API for the queue's length in the actor's name.
    """
    exchange, actor = _literally(names.exchange(context)), _literally(context.actor.name)
    user = {"userReference": {"name": names.part(context, "user")}}
    rights = {
        "configure": "^$",
        "write": f"^({exchange}|{_literally(LADDER_TOP)})$",
        "read": f"^{_literally(names.queue(context))}$",
    }
    # To any actor of the namespace, now or later, and to its own dead letters. Without the second rule the ladder,
    # which all namespaces share, would carry messages into another one.
    own = {"exchange": names.exchange(context), "write": rf"^([a-z0-9-]+|{actor}\.dlq)$", "read": "^$"}
    within = rf"^([01]\.)+{_literally(context.namespace)}\.[a-z0-9-]+$"
    later = {"exchange": LADDER_TOP, "write": within, "read": "^$"}
    return [
        _object(context, "user", "identity", kinds.RABBITMQ_USER, {"tags": ["management"]}, in_vhost=False),
        _object(context, "permission", "identity", kinds.RABBITMQ_PERMISSION, {**user, "permissions": rights}),
        _object(context, "topic-permission", "identity", kinds.RABBITMQ_TOPIC_PERMISSION, {**user, "permissions": own}),
        _object(
            context, "delay-permission", "identity", kinds.RABBITMQ_TOPIC_PERMISSION, {**user, "permissions": later}
        ),
    ]


def _object(
    context: Context, key: str, part: Part, kind: Kind, spec: Mapping[str, Any], *, in_vhost: bool = True
) -> Resource:
    settings = _settings(context)
    cluster: Manifest = {"namespace": settings.cluster.namespace}
    if settings.cluster.name is not None:
        cluster["name"] = settings.cluster.name
    if settings.cluster.connection_secret is not None:
        cluster["connectionSecret"] = {"name": settings.cluster.connection_secret}
    vhost = {"vhost": settings.vhost} if in_vhost else {}
    manifest = make(context, kind, names.part(context, key), {**spec, **vhost, "rabbitmqClusterReference": cluster})
    return by_condition(key, part, manifest, context.observed)


def _dead_letter_key(context: Context) -> str:
    return f"{context.actor.name}.dlq"


def _literally(name: str) -> str:
    """Names hold letters, digits, underscores, dashes and dots; only the last means something in an expression."""
    return name.replace(".", r"\.")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split("."))
