"""The rights that are composed, at a real broker: enough for an actor's work, and nothing of its neighbours'."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiormq
import pytest
from tests.compose.calls import Manifest, actor, platform, settled
from tests.support.rabbitmq import call_management

from asya.errors import DeniedError
from asya.transports.base import Outgoing, QueueSpec
from asya.transports.naming import QueueNames
from asya.transports.rabbitmq import RabbitmqTransport
from asya.transports.rabbitmq.ladder import Ladder
from asya.transports.settings import RabbitmqSettings

SOON = 20.0
LADDER = Ladder()

pytestmark = pytest.mark.rabbitmq


@dataclass(frozen=True)
class Scene:
    """Two namespaces with actors; `own` is the address as the user of shop's actor resize."""

    admin: str
    own: str


def namespaced(resources: dict[str, Manifest], kind: str) -> list[Manifest]:
    return [each["spec"]["permissions"] for each in resources.values() if each["kind"] == kind]


@pytest.fixture
def scene(rabbitmq_url: str, rabbitmq_management_url: str) -> Iterator[Scene]:
    parts, resources = urlsplit(rabbitmq_url), settled(actor())
    vhost = parts.path.removeprefix("/")
    # Users belong to the whole broker, in which tests of several processes meet.
    name = f"resize-of-{vhost}"

    def manage(method: str, path: str, body: object = None) -> None:
        call_management(rabbitmq_management_url, method, path, body)

    (user,) = (each["spec"] for each in resources.values() if each["kind"] == "User")
    manage("PUT", f"/api/users/{name}", {"password": "secret", "tags": ",".join(user["tags"])})
    (rights,) = namespaced(resources, "Permission")
    manage("PUT", f"/api/permissions/{vhost}/{name}", rights)
    for topic in namespaced(resources, "TopicPermission"):
        manage("PUT", f"/api/topic-permissions/{vhost}/{name}", topic)
    yield Scene(rabbitmq_url, f"amqp://{name}:secret@{parts.hostname}:{parts.port}{parts.path}")
    manage("DELETE", f"/api/users/{name}")


@asynccontextmanager
async def connected(url: str, *actors: str, namespace: str = "shop") -> AsyncIterator[RabbitmqTransport]:
    transport = RabbitmqTransport(QueueNames(namespace), RabbitmqSettings(url=url))
    async with asyncio.timeout(SOON):
        await transport.open()
        if actors:
            await transport.declare([QueueSpec(name) for name in actors])
    try:
        yield transport
    finally:
        await transport.close()


async def test_an_actors_messages_reach_its_namespace_now_and_later(scene: Scene) -> None:
    async with connected(scene.admin, "resize", "next") as platform, connected(scene.own) as own:
        async with asyncio.timeout(SOON):
            await own.publish([Outgoing("next", b"now"), Outgoing("next", b"later", 0.1), Outgoing("resize", b"", 0.1)])
            while True:
                depth = await platform.depth(["next", "resize"])
                if (depth["next"].ready, depth["resize"].ready) == (2, 1):
                    break


async def test_no_message_gets_into_another_namespace(scene: Scene) -> None:
    async with connected(scene.admin, "resize"), connected(scene.admin, "till", namespace="bank") as bank:
        async with connected(scene.own, namespace="bank") as intruder, asyncio.timeout(SOON):
            with pytest.raises(DeniedError):
                await intruder.publish([Outgoing("till", b"now")])
        async with connected(scene.own, namespace="bank") as intruder, asyncio.timeout(SOON):
            with pytest.raises(DeniedError):
                await intruder.publish([Outgoing("till", b"later", 0.1)])
        assert (await bank.depth(["till"]))["till"].ready == 0


@pytest.mark.parametrize(
    ("exchange", "key"),
    [
        ("", "asya_shop_next"),
        ("asya_shop", "next.dlq"),
        ("asya.delay.0", "1.bank.till"),
        ("asya.delay.arrivals", "x.y"),
    ],
)
async def test_no_other_way_in_is_open(scene: Scene, exchange: str, key: str) -> None:
    async with connected(scene.admin, "resize", "next"):
        connection = await aiormq.connect(scene.own)
        try:
            channel = await connection.channel()
            with pytest.raises(aiormq.exceptions.ChannelAccessRefused):
                async with asyncio.timeout(SOON):
                    await channel.basic_publish(b"", exchange=exchange, routing_key=key, mandatory=True)
        finally:
            await connection.close()


@pytest.mark.parametrize("queue", ["asya_shop_next", "asya_shop_resize_dlq", "asya.delay.17"])
async def test_no_other_queue_can_be_read(scene: Scene, queue: str) -> None:
    async with connected(scene.admin, "resize", "next"):
        connection = await aiormq.connect(scene.own)
        try:
            channel = await connection.channel()
            with pytest.raises(aiormq.exceptions.ChannelAccessRefused):
                async with asyncio.timeout(SOON):
                    await channel.basic_get(queue)
        finally:
            await connection.close()


async def test_the_autoscaler_reads_the_queues_length_as_the_actors_user(
    scene: Scene, rabbitmq_management_url: str
) -> None:
    base, vhost = urlsplit(rabbitmq_management_url), urlsplit(scene.admin).path.removeprefix("/")
    own = f"{base.scheme}://{urlsplit(scene.own).username}:secret@{base.hostname}:{base.port}"
    async with connected(scene.admin, "resize"):
        found = await asyncio.to_thread(call_management, own, "GET", f"/api/queues/{vhost}/asya_shop_resize")
    assert found["name"] == "asya_shop_resize"


async def test_a_message_ends_at_the_crew_of_another_namespace(scene: Scene, rabbitmq_management_url: str) -> None:
    crew = {"namespace": "mesh", "labels": {"asya.sh/crew": "true"}}
    sink = settled(actor("x-sink", metadata=crew), platform(crewNamespace="mesh"), cluster=[actor()])
    vhost = urlsplit(scene.admin).path.removeprefix("/")
    ways = [each["spec"] for each in sink.values() if each["kind"] == "Binding"]
    (way,) = (each for each in ways if each["source"] == "asya_shop")
    async with connected(scene.admin, "x-sink", namespace="mesh") as mesh, connected(scene.admin, "resize"):
        path = f"/api/bindings/{vhost}/e/{way['source']}/q/{way['destination']}"
        body = {"routing_key": way["routingKey"]}
        await asyncio.to_thread(call_management, rabbitmq_management_url, "POST", path, body)
        async with connected(scene.own) as own, asyncio.timeout(SOON):
            await own.publish([Outgoing("x-sink", b"the end")])
            while (await mesh.depth(["x-sink"]))["x-sink"].ready != 1:
                pass
