"""The actor's queue and its dead-letter queue: how they are bound, and what of them may change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asya.policy import parse_duration
from asya_composer import kinds, names
from asya_composer.errors import CompositionError
from asya_composer.model import Context, Resource
from asya_composer.transports.rabbitmq.objects import (
    ARRIVALS,
    binding,
    dead_letter_key,
    literally,
    settings_of,
    topology,
    version,
)

QUEUE, DEAD_LETTERS = "queue", "dead-letter-queue"
_HOUR_MS = 3_600_000
_TIMEOUT_PER_QUEUE = (3, 12)
_UNLIMITED_FROM = (4, 0)
_RETAIN_FROM = (1, 20)


def queues(context: Context) -> list[Resource]:
    """Return the queue of dead letters and the actor's own, which names the former."""
    found: list[Resource] = []
    # Arguments cannot change later, so here is only what never does; the rest is in policies.
    own = {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": names.exchange(context),
        "x-dead-letter-routing-key": dead_letter_key(context),
        "x-dead-letter-strategy": "at-least-once",
        # The strategy falls back to at-most-once with any other overflow.
        "x-overflow": "reject-publish",
    }
    for key, name, arguments in (
        (DEAD_LETTERS, names.dead_letters(context), {"x-queue-type": "quorum"}),
        (QUEUE, names.queue(context), own),
    ):
        queue = {"name": name, "type": "quorum", "durable": True, "arguments": arguments, **_deletion(context)}
        found.append(topology(context, key, "queue", kinds.RABBITMQ_QUEUE, queue))
    return found


def _deletion(context: Context) -> dict[str, Any]:
    match context.actor.spec.queue.deletion_policy:
        case "Delete":
            return {}
        case "DeleteIfEmpty":
            return {"deleteIfEmpty": True}
        case "Retain":
            if version(settings_of(context).operator_version) < _RETAIN_FROM:
                sentence = "Retain needs version 1.20 of the messaging topology operator, and the platform has an older"
                raise CompositionError("spec.queue.deletionPolicy", sentence)
            return {"deletionPolicy": "retain"}


def bindings(context: Context, made: Mapping[str, Resource]) -> list[Resource]:
    """Return what leads into the two queues (`made`, by key): messages, dead letters, and messages that have waited."""
    queue, exchange, actor = names.queue(context), names.exchange(context), context.actor.name
    wanted = (
        ("binding", exchange, actor, QUEUE, queue),
        ("dead-letter-binding", exchange, dead_letter_key(context), DEAD_LETTERS, names.dead_letters(context)),
        ("delay-binding", ARRIVALS, f"#.{context.namespace}.{actor}", QUEUE, queue),
    )
    return [
        binding(
            context,
            key,
            {"source": source, "destination": destination, "destinationType": "queue", "routingKey": routing},
            made[at],
            context.namespace,
            # The ladder's exchange is the platform's, which no actor waits for: its binding tells when it is missing.
            after_exchange=source == exchange,
        )
        for key, source, routing, at, destination in wanted
    ]


def policies(context: Context) -> list[Resource]:
    """What of the queues may change: how often a message is delivered, and how long a delivery may be held."""
    found = {"delivery-limit": context.actor.spec.queue.delivery_limit, **_consumer_timeout(context)}
    policies = [_policy(context, "policy", names.queue(context), found)]
    if version(settings_of(context).version) >= _UNLIMITED_FROM:
        # Dead letters stay however often they are looked at. Below 4.0 that is so anyway, and -1 would drop them.
        policies.append(_policy(context, "dead-letter-policy", names.dead_letters(context), {"delivery-limit": -1}))
    return policies


def _policy(context: Context, key: str, queue: str, definition: Mapping[str, int]) -> Resource:
    spec = {
        "name": queue,
        "pattern": f"^{literally(queue)}$",
        "applyTo": "queues",
        "definition": definition,
        "priority": 10,
    }
    return topology(context, key, "queue", kinds.RABBITMQ_POLICY, spec)


def _consumer_timeout(context: Context) -> dict[str, int]:
    """Let deliveries be held for as long as a call may take."""
    settings, call = settings_of(context), context.actor.resiliency().actor_timeout
    limit = parse_duration(settings.consumer_timeout)
    if version(settings.version) < _TIMEOUT_PER_QUEUE:
        if call < limit:
            return {}
        sentence = (
            f"RabbitMQ {settings.version} takes a delivery back after {settings.consumer_timeout} and cannot be told "
            "otherwise per queue before 3.12; shorten the timeout, or raise the broker's consumer_timeout"
        )
        raise CompositionError("spec.resiliency.actorTimeout", sentence)
    # In whole hours, so that a little more patience does not write to the broker.
    return {"consumer-timeout": max(int(limit * 1000), (int(call * 1000) // _HOUR_MS + 1) * _HOUR_MS)}
