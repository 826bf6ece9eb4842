"""What is composed on RabbitMQ is what the data plane declares on one machine, and no more is allowed than it needs."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from tests.compose.calls import Manifest, actor, call, platform, settled

from asya.transports.base import QueueSpec
from asya.transports.naming import QueueNames, Style
from asya.transports.rabbitmq.ladder import Ladder
from asya.transports.rabbitmq.topology import Binding, Broker, Declaration, Exchange, Queue, actor_topology

LADDER = Ladder()


def composed(resources: dict[str, Manifest]) -> set[str]:
    """What is composed as the data plane writes it down; a policy is an argument that can change."""
    of_policies = [each["spec"] for each in resources.values() if each["kind"] == "Policy"]
    policies = {each["name"]: each["definition"] for each in of_policies}
    found = set()
    for manifest in resources.values():
        declared = as_declared(manifest)
        if isinstance(declared, Queue):
            limit = policies.get(declared.name, {}).get("delivery-limit")
            extra = {} if limit is None else {"x-delivery-limit": limit}
            declared = in_order(replace(declared, arguments={**declared.arguments, **extra}))
        if declared is not None:
            found.add(repr(declared))
    return found


def as_declared(manifest: Manifest) -> Declaration | None:
    spec = manifest["spec"] if manifest["apiVersion"] == "rabbitmq.com/v1beta1" else {}
    match manifest["kind"], spec:
        case "Exchange", {"name": name, "type": kind}:
            return Exchange(name, kind)
        case "Queue", {"name": name, "arguments": arguments}:
            return Queue(name, arguments)
        case "Binding", {"source": source, "routingKey": key, "destination": destination}:
            return Binding(source, key, destination)
    return None


@pytest.mark.parametrize("version", [(3, 10), (3, 12), (4, 0), (4, 3)])
@pytest.mark.parametrize("style", ["underscore", "dash"])
def test_the_topology_is_that_of_the_data_plane(version: tuple[int, int], style: Style) -> None:
    names = QueueNames("shop", style)
    wanted = actor_topology(names, names.exchange, QueueSpec("x-sink", delivery_limit=7), Broker(version), LADDER)
    settings = platform(queueNames=style)
    settings["transports"]["rabbitmq"]["version"] = f"{version[0]}.{version[1]}"
    sink = actor("x-sink", metadata={"labels": {"asya.sh/crew": "true"}}, queue={"deliveryLimit": 7})

    assert composed(settled(sink, settings)) == {repr(in_order(each)) for each in wanted}


def in_order(declared: Declaration) -> Declaration:
    """With arguments by name, so that the texts of equal ones are equal."""
    if not isinstance(declared, Queue):
        return declared
    return replace(declared, arguments=dict(sorted(declared.arguments.items())))


def rights(actor_name: str = "resize") -> tuple[Manifest, dict[str, str]]:
    there = settled(actor(actor_name)).values()
    (permission,) = (each["spec"]["permissions"] for each in there if each["kind"] == "Permission")
    topics = [each["spec"]["permissions"] for each in there if each["kind"] == "TopicPermission"]
    return permission, {each["exchange"]: each["write"] for each in topics}


def test_an_actor_may_do_its_work() -> None:
    permission, topics = rights()
    delays, key = LADDER.route(12.3, "shop", "resize")
    for exchange, routing in (("asya_shop", "other"), ("asya_shop", "resize.dlq"), (delays, key)):
        assert re.search(permission["write"], exchange)
        assert re.search(topics[exchange], routing)
    assert re.search(permission["read"], "asya_shop_resize")


@pytest.mark.parametrize(
    ("right", "name"),
    [
        ("read", "asya_shop_resize_dlq"),
        ("read", "asya_shop_other"),
        ("read", "asya_shop_resize2"),
        ("write", "amq.default"),
        ("write", "asya_shop2"),
        ("write", "asya.delay.arrivals"),
        ("write", "asya.delay.3"),
        ("configure", "asya_shop_resize"),
    ],
)
def test_an_actor_may_do_no_more(right: str, name: str) -> None:
    assert (right == "configure" and not name) or not re.search(rights()[0][right], name)


@pytest.mark.parametrize("key", ["0.1.other.resize", "1.0.1.other.shop", "shop.resize", "0.1.shop.resize.more"])
def test_delays_lead_into_no_other_namespace(key: str) -> None:
    assert not re.search(rights()[1][LADDER.top], key)


def test_nobody_writes_to_dead_letters_of_others() -> None:
    assert not re.search(rights()[1]["asya_shop"], "other.dlq")


def test_what_cannot_change_at_the_broker_does_not() -> None:
    before = call(actor()).resources
    settings = platform()
    settings["transports"]["rabbitmq"]["version"] = "3.12"
    after = call(actor(queue={"deliveryLimit": 9}, resiliency={"actorTimeout": "3h"}), settings).resources
    for key in ("rabbitmq-queue", "rabbitmq-dead-letter-queue"):
        assert after[key]["spec"]["arguments"] == before[key]["spec"]["arguments"]
    changed = after["rabbitmq-policy"]["spec"]["definition"]
    assert changed == {"delivery-limit": 9, "consumer-timeout": 4 * 3_600_000}
