"""What the actors of a namespace share: its exchange, and the way from there to a crew that is elsewhere.

Both belong to the crew, which every namespace has or shares. A crew in a namespace of its own keeps the exchanges of
all namespaces that it serves, and its queues are bound to each under the names x-sink and x-sump: whoever may publish
in a namespace reaches the crew by that, and nothing else of the crew's namespace.
"""

from __future__ import annotations

from collections.abc import Mapping

from asya.api.rules_mesh import TERMINAL_ACTORS
from asya_composer import kinds, names
from asya_composer.model import Context, Resource
from asya_composer.transports.rabbitmq.objects import binding, topology
from asya_composer.transports.rabbitmq.queues import QUEUE

OWN_KEY = "exchange"


def exchanges(context: Context, made: Mapping[str, Resource]) -> list[Resource]:
    """Return the exchanges that x-sink keeps, and what leads from other namespaces to the crew's queue (`made`)."""
    actor = context.actor.name
    if actor not in TERMINAL_ACTORS:
        return []
    found = [_exchange(context, OWN_KEY, context.namespace)] if actor == names.EXCHANGE_OWNER else []
    for namespace in _served(context):
        if actor == names.EXCHANGE_OWNER:
            found.append(_exchange(context, f"{OWN_KEY}-{namespace}", namespace))
        way = {
            "source": names.exchange(context, namespace),
            "destination": names.queue(context),
            "destinationType": "queue",
            "routingKey": actor,
        }
        key = f"{_BINDING}{namespace}"
        found.append(binding(context, key, way, made[QUEUE], namespace))
    return found


def _served(context: Context) -> list[str]:
    """Namespaces that are served, or once were: without its exchange's bindings an actor would get nothing."""
    once = [key.removeprefix(_BINDING) for key in context.observed.resources if key.startswith(_BINDING)]
    return sorted({*context.served, *once} - {context.namespace})


def _exchange(context: Context, key: str, namespace: str) -> Resource:
    exchange = {"name": names.exchange(context, namespace), "type": "topic", "durable": True}
    return topology(context, key, "queue", kinds.RABBITMQ_EXCHANGE, exchange)


_BINDING = "serves-"
