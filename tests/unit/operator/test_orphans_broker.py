"""Queues at a real broker: what the operator sees of them, and what is left after two sweeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from tests.support.processes import until
from tests.support.rabbitmq import call_management
from tests.unit.operator.objects import Manifest, actor

from asya.errors import ConnectionLostError
from asya.operator.broker import Broker
from asya.operator.events import Event
from asya.operator.orphans import Queue
from asya.operator.rounds import Rounds

pytestmark = pytest.mark.rabbitmq
COUNTED_SECONDS = 30.0


@dataclass
class FakeCluster:
    """Has actors, and nothing else: the API server's own part is tested at a real one."""

    found: list[Manifest] | None

    def actors(self, namespace: str | None = None) -> list[Manifest] | None:
        return self.found

    def config_map(self, namespace: str, name: str) -> Manifest | None:
        raise AssertionError("a sweep reads no ConfigMap")

    def apply(self, manifest: Any) -> Manifest:
        raise AssertionError("a sweep applies nothing")

    def tell(self, event: Event) -> None:
        raise AssertionError("a sweep tells nothing")


@pytest.fixture
def ask(rabbitmq_url: str, rabbitmq_management_url: str) -> Callable[..., Any]:
    """Call the management API in a virtual host of the test's own."""
    vhost = urlsplit(rabbitmq_url).path[1:]

    def call(method: str, kind: str, path: str, body: Any = None) -> Any:
        return call_management(rabbitmq_management_url, method, f"/api/{kind}/{vhost}/{path}", body)

    return call


@pytest.fixture
def broker(rabbitmq_url: str, rabbitmq_management_url: str) -> Iterator[Broker]:
    """The broker, with no queue before and after."""
    found = Broker(rabbitmq_management_url, urlsplit(rabbitmq_url).path[1:])
    assert found.queues() == []
    yield found
    for queue in found.queues():
        found.remove(queue.name)


def declare(ask: Callable[..., Any], *names: str) -> None:
    for name in names:
        ask("PUT", "queues", name, {"durable": True, "arguments": {"x-queue-type": "quorum"}})


async def counted(broker: Broker, **messages: int) -> None:
    def done() -> bool:
        found = {queue.name: queue for queue in broker.queues()}
        return all(found[name].messages == count and found[name].consumers == 0 for name, count in messages.items())

    await until(done, within=COUNTED_SECONDS, what=lambda: str(broker.queues()))


async def test_empty_orphans_go_in_the_second_sweep(ask: Callable[..., Any], broker: Broker) -> None:
    names = [
        "asya_a_gone",
        "asya_a_gone_dlq",
        "asya_a_full",
        "asya_a_full_dlq",
        "asya_a_bound",
        "asya_a_here",
        "orders",
    ]
    declare(ask, *names)
    ask("PUT", "exchanges", "asya_a", {"type": "direct", "durable": True})
    ask("POST", "bindings", "e/asya_a/q/asya_a_bound", {"routing_key": "bound", "arguments": {}})
    message = {"properties": {}, "routing_key": "asya_a_full", "payload": "x", "payload_encoding": "string"}
    assert ask("POST", "exchanges", "amq.default/publish", message) == {"routed": True}
    await counted(broker, **dict.fromkeys(names, 0) | {"asya_a_full": 1})
    bound = next(queue for queue in broker.queues() if queue.name == "asya_a_bound")
    assert bound == Queue("asya_a_bound", 0, 0, frozenset({"asya_a"}))

    rounds = Rounds(FakeCluster([actor("a", "here")]), platform="asya-system", broker=broker)
    assert rounds.sweep() == []
    assert rounds.sweep() == ["asya_a_gone"]
    # The dead letters of a queue that was there until now go one sweep later.
    assert rounds.sweep() == ["asya_a_gone_dlq"]
    assert rounds.sweep() == []
    left = {queue.name for queue in broker.queues()}
    assert left == {"asya_a_full", "asya_a_full_dlq", "asya_a_bound", "asya_a_here", "orders"}

    ask("DELETE", "queues", "asya_a_full/contents")
    await counted(broker, asya_a_full=0)
    assert [rounds.sweep() for _ in range(3)] == [[], ["asya_a_full"], ["asya_a_full_dlq"]]


async def test_an_actor_that_comes_back_keeps_its_queue(ask: Callable[..., Any], broker: Broker) -> None:
    declare(ask, "asya_a_x")
    await counted(broker, asya_a_x=0)
    cluster = FakeCluster([])
    rounds = Rounds(cluster, platform="asya-system", broker=broker)
    assert rounds.sweep() == []
    cluster.found = [actor("a", "x")]
    assert rounds.sweep() == []
    cluster.found = []
    assert rounds.sweep() == []
    cluster.found = None
    assert [rounds.sweep(), rounds.sweep()] == [[], []], "no kind, so nobody knows which actors there are"
    assert [queue.name for queue in broker.queues()] == ["asya_a_x"]


def test_a_queue_that_is_gone_is_fine(broker: Broker) -> None:
    broker.remove("asya_a_x")


def test_a_wrong_password_is_told_without_showing_it(rabbitmq_management_url: str) -> None:
    parts = urlsplit(rabbitmq_management_url)
    url = f"{parts.scheme}://{quote(parts.username or '')}:secret%40x@{parts.hostname}:{parts.port}"
    with pytest.raises(ConnectionLostError, match="401") as caught:
        Broker(url, "/").queues()
    assert "secret" not in str(caught.value)
