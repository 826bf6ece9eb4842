"""Making an object of the topology operator, and what all of them need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asya_composer import names
from asya_composer.errors import CompositionError
from asya_composer.kinds import Kind
from asya_composer.model import Context, Manifest, Part, Resource
from asya_composer.objects import by_condition, make
from asya_composer.settings import RabbitmqSettings

LADDER_TOP = "asya.delay.17"
"""Exchange at which delayed messages begin. See asya.transports.rabbitmq.ladder."""
ARRIVALS = "asya.delay.arrivals"
"""Exchange that hands out what has waited."""
EXCHANGE_ANNOTATION, QUEUE_ANNOTATION = "asya.sh/exchange", "asya.sh/queue"
"""Of a binding: which objects have made what it ties together."""


def settings_of(context: Context) -> RabbitmqSettings:
    """Return the platform's settings of RabbitMQ.

    Raises:
        CompositionError: It has none.
    """
    settings = context.settings.transports.rabbitmq
    if settings is None:
        raise CompositionError("spec.transport", "this platform has no RabbitMQ: its input has no transports.rabbitmq")
    return settings


def topology(
    context: Context,
    key: str,
    part: Part,
    kind: Kind,
    spec: Mapping[str, Any],
    *,
    in_vhost: bool = True,
    annotations: Mapping[str, str] | None = None,
) -> Resource:
    """Return an object of the topology operator, at the platform's broker."""
    settings = settings_of(context)
    cluster: Manifest = {"namespace": settings.cluster.namespace}
    if settings.cluster.name is not None:
        cluster["name"] = settings.cluster.name
    if settings.cluster.connection_secret is not None:
        cluster["connectionSecret"] = {"name": settings.cluster.connection_secret}
    vhost = {"vhost": settings.vhost} if in_vhost else {}
    spec = {**spec, **vhost, "rabbitmqClusterReference": cluster}
    manifest = make(context, kind, names.part(context, key), spec, annotations=annotations)
    return by_condition(key, part, manifest, context.observed)


def ends(context: Context, key: str, queue: str, namespace: str) -> dict[str, str]:
    """Return annotations of the binding `key` that name the objects at its ends.

    `queue` is the queue by its own key, `namespace` whose exchange it is.

    With another one, the operator makes the binding again: the broker has forgotten it with the old one, and nothing
    else about its object would change. While one is away, what it was stays.
    """
    _, exchange = names.exchange_object(namespace, context.settings.crew_namespace)
    now = {
        EXCHANGE_ANNOTATION: context.exchanges.get(exchange),
        QUEUE_ANNOTATION: context.observed.at(queue, "metadata", "uid"),
    }
    found = {
        name: value or context.observed.at(key, "metadata", "annotations", name) or "" for name, value in now.items()
    }
    return {name: str(value) for name, value in found.items() if value}


def dead_letter_key(context: Context) -> str:
    """Return the routing key of the actor's dead-letter queue."""
    return f"{context.actor.name}.dlq"


def literally(name: str) -> str:
    """Names hold letters, digits, underscores, dashes and dots; only the last means something in an expression."""
    return name.replace(".", r"\.")


def version(text: str) -> tuple[int, ...]:
    """Return a version so that versions can be compared."""
    return tuple(int(number) for number in text.split("."))
