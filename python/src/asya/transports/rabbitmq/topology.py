"""What has to exist at the broker, as plain data. Pure: nothing here talks to a broker.

One topic exchange per namespace, durable; the routing key is the actor's name. Per actor a queue and a dead-letter
queue. The latter hangs on the same exchange under the key ``<actor>.dlq``: an actor's name holds no dot, so no actor
can be meant, and whoever may publish in the namespace may also dead-letter without a further permission.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from asya.errors import TransportError
from asya.transports.base import QueueSpec
from asya.transports.naming import QueueNames
from asya.transports.rabbitmq.ladder import Ladder

Version = tuple[int, int]
_HOUR_MS = 3_600_000
_ACTOR = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange."""

    name: str
    kind: str = "topic"
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Binding:
    """From an exchange to a queue, or to another exchange when `to_exchange`."""

    source: str
    key: str
    destination: str
    to_exchange: bool = False


Declaration = Exchange | Queue | Binding


@dataclass(frozen=True, slots=True)
class Broker:
    """What decides on arguments: the broker's version, the kind of queue, and its own limit for holding a delivery."""

    version: Version
    queue_type: str = "quorum"
    consumer_timeout_seconds: float = 1800.0


def is_actor(name: str) -> bool:
    """Tell whether an actor can be called so, which is a DNS label; no other name has a queue.

    A message may name anything as its destination. Among these names are some that AMQP cannot carry (over 255 bytes,
    half a surrogate pair), and some that would reach what is not meant (`resize.dlq`).
    """
    return _ACTOR.fullmatch(name) is not None


def dead_letter_key(actor: str) -> str:
    """Return the routing key of the actor's dead-letter queue."""
    return f"{actor}.dlq"


def actor_topology(
    names: QueueNames, exchange: str, spec: QueueSpec, broker: Broker, ladder: Ladder
) -> list[Declaration]:
    """Return what one actor needs: its queue, its dead-letter queue, and their bindings.

    Raises:
        TransportError: The actor's name is none, or a call may take longer than this broker lets a delivery be held.
    """
    if not is_actor(spec.actor):
        raise TransportError(f"{spec.actor!r} is no name of an actor; expected up to 63 of a-z, 0-9 and inner hyphens")
    queue, dead = names.queue(spec.actor), names.dead_letters(spec.actor)
    return [
        Exchange(exchange),
        Queue(dead, _dead_letter_arguments(broker)),
        Binding(exchange, dead_letter_key(spec.actor), dead),
        Queue(queue, _queue_arguments(exchange, spec, broker)),
        Binding(exchange, spec.actor, queue),
        Binding(ladder.arrivals, ladder.arrival_pattern(names.namespace, spec.actor), queue),
    ]


def ladder_topology(ladder: Ladder) -> list[Declaration]:
    """Return the shared delay queues: see `Ladder` for how a message climbs down. The last one marks it as complete."""
    found: list[Declaration] = [
        # Where a message ends whose actor is gone when its time has come. Without it the level's queue would try for
        # ever, and after some 30 such messages nobody's delay would end.
        Exchange(ladder.lost, "fanout"),
        Queue(ladder.lost, {"x-queue-type": "quorum"}),
        Binding(ladder.lost, "", ladder.lost),
        Exchange(ladder.arrivals, arguments={"alternate-exchange": ladder.lost}),
    ]
    below = ladder.arrivals
    for level in range(ladder.levels):
        exchange, queue = ladder.exchange(level), ladder.queue(level)
        found += [
            Exchange(exchange),
            Queue(queue, _level_arguments(ladder.level_ms(level), below)),
            Binding(exchange, ladder.pattern(level, 1), queue),
            Binding(exchange, ladder.pattern(level, 0), below, to_exchange=True),
        ]
        below = exchange
    return [*found, Exchange(ladder.marker, "fanout")]


def _queue_arguments(exchange: str, spec: QueueSpec, broker: Broker) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "x-queue-type": broker.queue_type,
        "x-dead-letter-exchange": exchange,
        "x-dead-letter-routing-key": dead_letter_key(spec.actor),
    }
    if broker.queue_type == "quorum":
        arguments |= {
            "x-delivery-limit": spec.delivery_limit,
            "x-dead-letter-strategy": "at-least-once",
            # The strategy falls back to at-most-once with any other overflow.
            "x-overflow": "reject-publish",
        }
    return arguments | _consumer_timeout(spec, broker)


def _consumer_timeout(spec: QueueSpec, broker: Broker) -> dict[str, Any]:
    """Ask for a longer hold only where needed, in whole hours: arguments cannot change later, a timeout can."""
    if spec.call_seconds < broker.consumer_timeout_seconds:
        return {}
    if broker.version < (3, 12):
        raise TransportError(
            f"a call of actor {spec.actor!r} may take {spec.call_seconds:g} s, but this broker (RabbitMQ "
            f"{broker.version[0]}.{broker.version[1]}) takes a delivery back after "
            f"{broker.consumer_timeout_seconds:g} s and cannot be told otherwise per queue before 3.12; shorten the "
            "actor's timeout, or raise consumer_timeout in rabbitmq.conf and ASYA_RABBITMQ_CONSUMER_TIMEOUT with it"
        )
    return {"x-consumer-timeout": (int(spec.call_seconds * 1000) // _HOUR_MS + 1) * _HOUR_MS}


def _dead_letter_arguments(broker: Broker) -> dict[str, Any]:
    """Dead letters stay however often they are looked at. Below 4.0 that is the default, and -1 would drop at once."""
    arguments: dict[str, Any] = {"x-queue-type": broker.queue_type}
    if broker.queue_type == "quorum" and broker.version >= (4, 0):
        arguments["x-delivery-limit"] = -1
    return arguments


def _level_arguments(milliseconds: int, then: str) -> dict[str, Any]:
    return {
        "x-queue-type": "quorum",
        "x-message-ttl": milliseconds,
        "x-dead-letter-exchange": then,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
