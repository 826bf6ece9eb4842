"""Who the actor is to the broker, and what it may do there."""

from __future__ import annotations

from asya_composer import kinds, names
from asya_composer.model import Context, Resource
from asya_composer.transports.rabbitmq.objects import LADDER_TOP, literally, topology


def credentials(context: Context) -> str:
    """Name of the Secret that the topology operator makes for the actor's user."""
    return f"{names.part(context, 'user')}-user-credentials"


def identity(context: Context) -> list[Resource]:
    """A user of the actor's own, with a password that the operator makes up.

    The tag lets the autoscaler ask the management API for the queue's length in the actor's name.
    """
    exchange, actor = literally(names.exchange(context)), literally(context.actor.name)
    user = {"userReference": {"name": names.part(context, "user")}}
    rights = {
        "configure": "^$",
        "write": f"^({exchange}|{literally(LADDER_TOP)})$",
        "read": f"^{literally(names.queue(context))}$",
    }
    # To any actor of the namespace, now or later, and to its own dead letters. Without the second rule the ladder,
    # which all namespaces share, would carry messages into another one.
    own = {"exchange": names.exchange(context), "write": rf"^([a-z0-9-]+|{actor}\.dlq)$", "read": "^$"}
    within = rf"^([01]\.)+{literally(context.namespace)}\.[a-z0-9-]+$"
    later = {"exchange": LADDER_TOP, "write": within, "read": "^$"}
    rules = {
        "permission": (kinds.RABBITMQ_PERMISSION, rights),
        "topic-permission": (kinds.RABBITMQ_TOPIC_PERMISSION, own),
        "delay-permission": (kinds.RABBITMQ_TOPIC_PERMISSION, later),
    }
    return [
        topology(context, "user", "identity", kinds.RABBITMQ_USER, {"tags": ["management"]}, in_vhost=False),
        *(topology(context, key, "identity", kind, {**user, "permissions": may}) for key, (kind, may) in rules.items()),
    ]
