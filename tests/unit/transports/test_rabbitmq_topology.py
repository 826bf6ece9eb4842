"""What is declared at the broker, and the way of a delayed message through it, as tables."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from asya.errors import TransportError
from asya.transports.base import QueueSpec
from asya.transports.naming import QueueNames
from asya.transports.rabbitmq.ladder import Ladder
from asya.transports.rabbitmq.topology import (
    Binding,
    Broker,
    Declaration,
    Exchange,
    Queue,
    actor_topology,
    ladder_topology,
)

NAMES = QueueNames("shop")
LADDER = Ladder()


def declared(spec: QueueSpec, broker: Broker) -> list[Declaration]:
    return actor_topology(NAMES, "asya_shop", spec, broker, LADDER)


def arguments(spec: QueueSpec, broker: Broker, queue: str = "asya_shop_resize") -> dict[str, Any]:
    return next(
        dict(step.arguments) for step in declared(spec, broker) if isinstance(step, Queue) and step.name == queue
    )


def test_an_actor_has_two_queues_on_its_namespaces_exchange() -> None:
    steps = declared(QueueSpec("resize"), Broker((3, 10)))

    assert [step.name for step in steps if isinstance(step, Exchange)] == ["asya_shop"]
    assert [step for step in steps if isinstance(step, Binding)] == [
        Binding("asya_shop", "resize.dlq", "asya_shop_resize_dlq"),
        Binding("asya_shop", "resize", "asya_shop_resize"),
        Binding("asya.delay.arrivals", "#.shop.resize", "asya_shop_resize"),
    ]


def test_a_dead_letter_finds_its_queue_before_the_actor_can_receive() -> None:
    steps = declared(QueueSpec("resize"), Broker((3, 10)))

    bound = steps.index(Binding("asya_shop", "resize.dlq", "asya_shop_resize_dlq"))
    assert bound < [getattr(step, "name", "") for step in steps].index("asya_shop_resize")


SAFE = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
DEAD = {"x-dead-letter-exchange": "asya_shop", "x-dead-letter-routing-key": "resize.dlq"}


@pytest.mark.parametrize(
    ("broker", "spec", "expected"),
    [
        (Broker((3, 10)), QueueSpec("resize"), {"x-queue-type": "quorum", "x-delivery-limit": 50, **SAFE, **DEAD}),
        (Broker((4, 1)), QueueSpec("resize"), {"x-queue-type": "quorum", "x-delivery-limit": 50, **SAFE, **DEAD}),
        (
            Broker((3, 10)),
            QueueSpec("resize", delivery_limit=7),
            {"x-queue-type": "quorum", "x-delivery-limit": 7, **SAFE, **DEAD},
        ),
        (Broker((3, 10), "classic"), QueueSpec("resize"), {"x-queue-type": "classic", **DEAD}),
        (
            Broker((3, 12)),
            QueueSpec("resize", call_seconds=1800),
            {"x-queue-type": "quorum", "x-delivery-limit": 50, "x-consumer-timeout": 3_600_000, **SAFE, **DEAD},
        ),
        (
            Broker((4, 0)),
            QueueSpec("resize", call_seconds=7200),
            {"x-queue-type": "quorum", "x-delivery-limit": 50, "x-consumer-timeout": 10_800_000, **SAFE, **DEAD},
        ),
        (
            Broker((3, 10), consumer_timeout_seconds=7200),
            QueueSpec("resize", call_seconds=3600),
            {"x-queue-type": "quorum", "x-delivery-limit": 50, **SAFE, **DEAD},
        ),
    ],
)
def test_arguments_of_an_actors_queue(broker: Broker, spec: QueueSpec, expected: dict[str, Any]) -> None:
    assert arguments(spec, broker) == expected


@pytest.mark.parametrize(
    ("broker", "expected"),
    [
        (Broker((3, 10)), {"x-queue-type": "quorum"}),
        (Broker((3, 13)), {"x-queue-type": "quorum"}),
        (Broker((4, 0)), {"x-queue-type": "quorum", "x-delivery-limit": -1}),
        (Broker((4, 3), "classic"), {"x-queue-type": "classic"}),
    ],
)
def test_dead_letters_have_no_limit(broker: Broker, expected: dict[str, Any]) -> None:
    assert arguments(QueueSpec("resize"), broker, "asya_shop_resize_dlq") == expected


@pytest.mark.parametrize("call_seconds", [1800, 1801, 90_000])
def test_a_call_longer_than_the_broker_allows_is_refused(call_seconds: float) -> None:
    with pytest.raises(TransportError, match=r"'resize'.*RabbitMQ 3\.11\) takes a delivery back after 1800 s"):
        declared(QueueSpec("resize", call_seconds=call_seconds), Broker((3, 11)))


def matches(pattern: list[str], words: list[str]) -> bool:
    """Topic matching as AMQP defines it, written apart from the code under test."""
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(matches(pattern[1:], words[taken:]) for taken in range(len(words) + 1))
    return bool(words) and pattern[0] in {"*", words[0]} and matches(pattern[1:], words[1:])


def way(
    ladder: Ladder, exchange: str, key: str, namespace: str = "shop", actor: str = "resize"
) -> tuple[int, list[str]]:
    """Walk a message through the declared exchanges and queues; return the time it waited (ms) and where it ended."""
    steps = [*ladder_topology(ladder), *declared_for(ladder, namespace, actor)]
    queues = {step.name: step.arguments for step in steps if isinstance(step, Queue)}
    waited = 0
    while True:
        found = [
            step
            for step in steps
            if isinstance(step, Binding) and step.source == exchange and matches(step.key.split("."), key.split("."))
        ]
        assert len(found) <= 1, f"{exchange} sends {key} to {found}"
        if not found:
            return waited, []
        target = found[0].destination
        if found[0].to_exchange:
            exchange = target
        elif "x-message-ttl" in queues[target]:
            waited += queues[target]["x-message-ttl"]
            assert queues[target].items() >= SAFE.items()
            exchange = queues[target]["x-dead-letter-exchange"]
        else:
            return waited, [target]


def declared_for(ladder: Ladder, namespace: str, actor: str) -> list[Declaration]:
    names = QueueNames(namespace)
    return actor_topology(names, names.exchange, QueueSpec(actor), Broker((3, 10)), ladder)


@pytest.mark.parametrize("units", range(1, 64))
def test_every_delay_of_a_small_ladder(units: int) -> None:
    ladder = Ladder(levels=6, unit_ms=10)

    exchange, key = ladder.route(units / 100, "shop", "resize")

    assert way(ladder, exchange, key) == (units * 10, ["asya_shop_resize"])


@pytest.mark.parametrize(
    ("delay", "milliseconds"),
    [
        (1e-9, 100),
        (0.05, 100),
        (0.1, 100),
        (0.100001, 200),
        (0.3, 300),
        (1.0, 1000),
        (59.95, 60_000),
        (3600.0, 3_600_000),
        (26_214.3, 26_214_300),
        (26_214.31, 26_214_300),
        (1e9, 26_214_300),
    ],
)
def test_delay_of_the_real_ladder(delay: float, milliseconds: int) -> None:
    exchange, key = LADDER.route(delay, "shop", "resize")

    assert way(LADDER, exchange, key) == (milliseconds, ["asya_shop_resize"])
    assert len(key) <= 255


def test_a_delay_is_never_shorter_than_asked_and_at_most_one_unit_longer() -> None:
    for thousandths in range(1, 20_000, 37):
        exchange, key = LADDER.route(thousandths / 1000, "shop", "resize")
        waited, _ = way(LADDER, exchange, key)
        assert Fraction(thousandths) <= waited < thousandths + 100


@pytest.mark.parametrize(("namespace", "actor"), [("0", "1"), ("1", "0"), ("shop", "0-1"), ("a" * 63, "b" * 63)])
def test_names_made_of_digits_or_of_full_length_go_to_their_own_queue(namespace: str, actor: str) -> None:
    exchange, key = LADDER.route(12.3, namespace, actor)

    assert way(LADDER, exchange, key, namespace, actor) == (12_300, [QueueNames(namespace).queue(actor)])
    assert len(key) <= 255


def test_what_waited_for_an_actor_that_is_gone_is_kept_and_holds_nobody_up() -> None:
    steps = ladder_topology(LADDER)
    arrivals = next(step for step in steps if isinstance(step, Exchange) and step.name == LADDER.arrivals)

    assert way(LADDER, *LADDER.route(1, "shop", "gone")) == (1000, [])
    assert arrivals.arguments == {"alternate-exchange": LADDER.lost}
    assert Binding(LADDER.lost, "", LADDER.lost) in steps


def test_each_thing_is_declared_after_what_it_refers_to_and_the_mark_is_last() -> None:
    steps = ladder_topology(LADDER)
    seen: set[str] = set()
    for step in steps:
        if isinstance(step, Binding):
            assert {step.source, step.destination} <= seen
        else:
            for name in ("x-dead-letter-exchange", "alternate-exchange"):
                assert step.arguments.get(name) in {None, *seen}
            seen.add(step.name)
    assert steps[-1] == Exchange(LADDER.marker, "fanout")


def test_no_name_of_the_ladder_can_be_an_actors_queue() -> None:
    names = {step.name for step in ladder_topology(LADDER) if not isinstance(step, Binding)}

    # Namespaces and actors are DNS labels, so a queue of theirs never holds a dot.
    assert all("." in name for name in names)
