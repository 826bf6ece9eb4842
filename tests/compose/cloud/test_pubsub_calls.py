"""An actor's grants at Pub/Sub are the roles that its transport's calls take, and no more.

Each call is noted on the client's side of the line, by an interceptor of its channel, while the transport does all that
a sidecar does with it; settings are as they are composed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import grpc.aio
import pytest
from tests.compose.cloud.actors import PUBSUB, composed, context, settings
from tests.compose.cloud.evaluator import ROLES, GrantEvaluator, Pod
from tests.contract.transports.fake_pubsub_server import FakePubsubServer
from tests.contract.transports.harness import Inbox, until

from asya.settings import load
from asya.transports import Outgoing, Settle
from asya.transports.pubsub import PubsubTransport
from asya.transports.registry import queue_names
from asya.transports.settings import TransportSettings
from asya_composer.model import Context, Manifest
from asya_composer.transports.pubsub import Pubsub

# Google Cloud, Pub/Sub, "Access control with IAM", "Required permissions": the method, and what it takes on the topic
# or subscription that the call names.
PERMISSIONS = {
    "Acknowledge": "pubsub.subscriptions.consume",
    "ModifyAckDeadline": "pubsub.subscriptions.consume",
    "Publish": "pubsub.topics.publish",
    "Pull": "pubsub.subscriptions.consume",
    "StreamingPull": "pubsub.subscriptions.consume",
}
# The same page, "Roles": of the predefined roles that have a permission, the one with the fewest others.
LEAST_ROLE = {
    "pubsub.subscriptions.consume": "roles/pubsub.subscriber",
    "pubsub.topics.publish": "roles/pubsub.publisher",
}
NEIGHBOURS = ["paint", "resize", "x-sink"]
Calls = dict[str, set[str]]


class Noting(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    """Notes each call by the resource that it names, such as ``topics/asya_shop_paint``."""

    def __init__(self, seen: Calls) -> None:
        self._seen = seen

    async def intercept_unary_unary(self, carry_on: Callable[..., Any], details: Any, request: Any) -> Any:
        note(self._seen, details, request)
        return await carry_on(details, request)


class NotingStreams(grpc.aio.StreamStreamClientInterceptor):  # type: ignore[misc]
    """The same for streams, which name it in their first request. A channel takes an interceptor for one kind only."""

    def __init__(self, seen: Calls) -> None:
        self._seen = seen

    async def intercept_stream_stream(self, carry_on: Callable[..., Any], details: Any, requests: Any) -> Any:
        return await carry_on(details, self._noting(details, requests))

    async def _noting(self, details: Any, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            note(self._seen, details, request)
            yield request


def note(seen: Calls, details: Any, request: Any) -> None:
    method = details.method if isinstance(details.method, str) else details.method.decode()
    name = getattr(request, "topic", "") or request.subscription
    resource = name.removeprefix(f"projects/{PUBSUB['project']}/")
    seen[resource].add(method.rpartition("/")[2])


async def work(told: TransportSettings, server: FakePubsubServer) -> None:
    """Do everything that a sidecar does with its transport."""
    transport, inbox = PubsubTransport(queue_names(told), told.pubsub), Inbox()
    await transport.open()
    await transport.consume("resize", 10, inbox)
    await until(server.has_pulls(1), "delayed messages are asked for")

    for body in (b"first", b"second", b"third", b"last"):
        server.deliver(body)
    first, second, third, _last = await inbox.take_many(4)
    await transport.extend(first, 60.0)
    sends = [Outgoing("paint", b"one"), Outgoing("paint", b"two"), Outgoing("x-sink", b"end")]
    await transport.complete(first, sends)
    await transport.publish([Outgoing("resize", b"itself"), Outgoing("resize", b"again", delay=600.0)])
    await transport.complete(second, (), Settle.RELEASE)
    await transport.complete(third, (), Settle.DEAD_LETTER)
    # The last one is given back by who ends.
    await transport.close()


@pytest.fixture
async def seen(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Calls]:
    found: Calls = defaultdict(set)
    make = grpc.aio.insecure_channel

    def channel(*args: Any, **named: Any) -> Any:
        return make(*args, interceptors=[Noting(found), NotingStreams(found)], **named)

    server = FakePubsubServer()
    await server.start()
    environment = {entry["name"]: entry["value"] for entry in Pubsub().pod(actor()).env}
    told = load(TransportSettings, {**environment, "ASYA_NAMESPACE": "shop", "ASYA_TRANSPORT": "pubsub"})
    here = replace(told.pubsub, endpoint=server.endpoint, receive="stream")
    with monkeypatch.context() as patch:
        patch.setattr(grpc.aio, "insecure_channel", channel)
        await work(replace(told, pubsub=here), server)
    yield dict(found)
    await server.stop()


def actor(identity: str = "principal") -> Context:
    platform = settings("pubsub", own={"identity": identity})
    return context("pubsub", platform=platform, neighbours=NEIGHBOURS)


@pytest.mark.parametrize("identity", ["principal", "serviceAccount"])
async def test_what_is_granted_is_what_is_called(seen: Calls, identity: str) -> None:
    platform = actor(identity).settings
    objects: list[Manifest] = []
    for namespace in ("shop", "bank"):
        for name in NEIGHBOURS:
            there = context("pubsub", name, namespace=namespace, platform=platform, neighbours=NEIGHBOURS)
            objects += [each.manifest for each in composed(there).values()]
    google = Pubsub().pod(actor(identity)).annotations.get("iam.gke.io/gcp-service-account")
    granted = GrantEvaluator(objects).roles(Pod("shop", "resize-actor", google))
    account = {resource for resource in granted if resource.startswith("serviceAccounts/")}
    assert granted.keys() - account == seen.keys()
    for resource, methods in seen.items():
        assert granted[resource] == {LEAST_ROLE[PERMISSIONS[method]] for method in methods}, resource


async def test_the_calls_are_all_that_pods_make(seen: Calls) -> None:
    own = "subscriptions/asya_shop_resize"
    assert seen == {
        own: {"Acknowledge", "ModifyAckDeadline", "StreamingPull"},
        f"{own}.delay": {"Pull"},
        "topics/asya_shop_paint": {"Publish"},
        "topics/asya_shop_resize": {"Publish"},
        "topics/asya_shop_resize.delay": {"Publish"},
        "topics/asya_shop_resize_dlq": {"Publish"},
        "topics/asya_shop_x-sink": {"Publish"},
    }


def test_the_roles_are_the_smallest_that_google_has() -> None:
    """What they have besides is Google's: to seek with a snapshot, and to attach a subscription to no topic of ours."""
    beyond = {role: ROLES[role] - {permission} for permission, role in LEAST_ROLE.items()}
    assert beyond == {
        "roles/pubsub.publisher": set(),
        "roles/pubsub.subscriber": {"pubsub.snapshots.seek", "pubsub.topics.attachSubscription"},
    }
