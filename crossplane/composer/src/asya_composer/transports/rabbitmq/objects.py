"""Making an object of the topology operator, and what all of them need."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from asya_composer import kinds, names
from asya_composer.errors import CompositionError
from asya_composer.kinds import Kind
from asya_composer.model import Context, Manifest, Part, Resource
from asya_composer.objects import by_condition, make
from asya_composer.settings import RabbitmqSettings

LADDER_TOP = "asya.delay.17"
"""Exchange at which delayed messages begin. See asya.transports.rabbitmq.ladder."""
ARRIVALS = "asya.delay.arrivals"
"""Exchange that hands out what has waited."""
_UNKNOWN_TO_BROKER = ("not recognised policy settings", "is not a valid delivery limit")
"""What a broker says to a setting of a later version's. See `rabbit_policies` and `rabbit_policy` of its source."""
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
    found = by_condition(key, part, manifest, context.observed)
    return _in_words(found, settings.version) if found.error else found


def _in_words(failed: Resource, assumed: str) -> Resource:
    """Return what has failed with the broker's words as it said them, and what to do about a wrong version."""
    said = " ".join(html.unescape(failed.error).split())
    if any(sign in said for sign in _UNKNOWN_TO_BROKER):
        said += (
            f"; the composition's input has transports.rabbitmq.version {assumed}, which is newer than the broker: "
            "set it to the broker's version"
        )
    return replace(failed, why=said, error=said)


def binding(
    context: Context,
    key: str,
    spec: Mapping[str, Any],
    queue: Resource,
    namespace: str,
    *,
    after_exchange: bool = True,
) -> Resource:
    """Return a binding of `queue` to an exchange of a namespace, made once both are there: the broker knows no others.

    It says which objects it ties together (`ends`). With `after_exchange` false, the exchange is another one.
    """
    names_of = _ends(context, key, queue, namespace)
    found = topology(context, key, "queue", kinds.RABBITMQ_BINDING, spec, annotations=names_of)
    if context.observed.get(key) is not None:
        return found
    owner, exchange = names.exchange_object(namespace, context.settings.crew_namespace)
    missing = [] if queue.ready else [f"{queue.manifest['kind']} {queue.manifest['metadata']['name']}"]
    if after_exchange and exchange not in context.exchanges:
        missing.append(f"Exchange {owner}/{exchange}")
    if not missing:
        return found
    why = f"Binding {found.manifest['metadata']['name']} waits for {' and '.join(missing)}"
    return replace(found, ready=False, why=why, later=True)


def _ends(context: Context, key: str, queue: Resource, namespace: str) -> dict[str, str]:
    """Return annotations of the binding `key` that name the objects at its ends.

    With another one, the operator makes the binding again: the broker has forgotten it with the old one, and nothing
    else about its object would change. While one is away or not ready, what it was stays.
    """
    _, exchange = names.exchange_object(namespace, context.settings.crew_namespace)
    now = {
        EXCHANGE_ANNOTATION: context.exchanges.get(exchange),
        QUEUE_ANNOTATION: context.observed.at(queue.key, "metadata", "uid") if queue.ready else None,
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
