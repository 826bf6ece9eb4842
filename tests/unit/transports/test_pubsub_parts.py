"""The parts of the Pub/Sub transport that need no broker: messages, batches, endpoints, what is imported."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from asya.errors import ConnectionLostError, SettingsError
from asya.settings import load
from asya.transports.pubsub.batches import Batches
from asya.transports.pubsub.endpoint import GOOGLE, Endpoint, endpoint
from asya.transports.pubsub.messages import CLASSES, TABLE
from asya.transports.pubsub.order import key
from asya.transports.settings import PubsubSettings

GOOGLES = {
    "Message": "PubsubMessage",
    "Received": "ReceivedMessage",
    "StreamRequest": "StreamingPullRequest",
    "StreamResponse": "StreamingPullResponse",
    "ModifyRequest": "ModifyAckDeadlineRequest",
    "TopicRequest": "DeleteTopicRequest",
    "SubscriptionRequest": "GetSubscriptionRequest",
    "SnapshotRequest": "CreateSnapshotRequest",
    "SnapshotName": "DeleteSnapshotRequest",
}
"""By our names where they differ."""


def googles(name: str) -> Any:
    from google.protobuf import any_pb2, duration_pb2, timestamp_pb2
    from google.pubsub_v1 import types
    from google.rpc import error_details_pb2, status_pb2

    match name:
        case "Duration":
            return duration_pb2.Duration.DESCRIPTOR
        case "Timestamp":
            return timestamp_pb2.Timestamp.DESCRIPTOR
        case "Any":
            return any_pb2.Any.DESCRIPTOR
        case "Status":
            return status_pb2.Status.DESCRIPTOR
        case "ErrorInfo":
            return error_details_pb2.ErrorInfo.DESCRIPTOR
        case "Attribute":
            return types.PubsubMessage.pb().DESCRIPTOR.fields_by_name["attributes"].message_type
        case "Properties":
            return types.StreamingPullResponse.SubscriptionProperties.pb().DESCRIPTOR
        case _:
            return getattr(types, GOOGLES.get(name, name)).pb().DESCRIPTOR


@pytest.mark.parametrize("name", sorted(set(TABLE) - {"Nothing"}))
def test_the_messages_are_googles(name: str) -> None:
    theirs = {field.name: field for field in googles(name).fields}
    for field in CLASSES[name].DESCRIPTOR.fields:
        other = theirs[field.name]
        assert (field.number, field.type, field.is_repeated) == (other.number, other.type, other.is_repeated), (
            field.name
        )


def test_what_we_write_google_reads_and_the_other_way_round() -> None:
    from google.pubsub_v1 import types

    attributes = [CLASSES["Attribute"](key="k", value="v")]
    message = CLASSES["Message"](data=b"\xff\x00", attributes=attributes, ordering_key="o")
    ours = CLASSES["PublishRequest"](topic="t", messages=[message])
    read = types.PublishRequest.deserialize(ours.SerializeToString())
    assert (read.topic, read.messages[0].data, dict(read.messages[0].attributes)) == ("t", b"\xff\x00", {"k": "v"})
    theirs = types.ReceivedMessage(ack_id="a", message=types.PubsubMessage(data=b"x", attributes={"q": "w"}))
    back = CLASSES["Received"].FromString(types.ReceivedMessage.serialize(theirs))
    assert (back.ack_id, back.message.data) == ("a", b"x")
    assert [(one.key, one.value) for one in back.message.attributes] == [("q", "w")]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, Endpoint(GOOGLE)),
        ("127.0.0.1:8085", Endpoint("127.0.0.1:8085", plain=True)),
        ("http://pubsub:8085/", Endpoint("pubsub:8085", plain=True)),
        ("[::1]:8085", Endpoint("[::1]:8085", plain=True)),
        ("us-east1-pubsub.googleapis.com:443", Endpoint("us-east1-pubsub.googleapis.com:443")),
        ("https://us-east1-pubsub.googleapis.com", Endpoint("us-east1-pubsub.googleapis.com:443")),
    ],
)
def test_endpoints(given: str | None, expected: Endpoint) -> None:
    assert endpoint(given) == expected


@pytest.mark.parametrize("given", ["", "pubsub", "host:port", "ftp://host:1", "http://host:8085/path", "host:99999"])
def test_what_is_no_endpoint_is_said(given: str) -> None:
    with pytest.raises(SettingsError, match=r"ASYA_PUBSUB_ENDPOINT is .*; expected host:port or https://host"):
        endpoint(given)


@pytest.mark.parametrize(("name", "value"), [("ASYA_PUBSUB_LEASE", "11m"), ("ASYA_PUBSUB_RECEIVE", "push")])
def test_settings_out_of_range_are_said(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load(PubsubSettings, {name: value})


def test_ordering_keys() -> None:
    start = b'{"id":"1","route":{"prev":[],"curr":"a","next":[]},"payload":1,"headers":'
    assert key(start + b'{"x-asya-group":"g"}}') == "g"
    assert key(start + b"{}}") == ""
    assert key(b"no envelope") == ""
    long = start + b'{"x-asya-group":"' + b"g" * 2000 + b'"}}'
    assert len(key(long)) == 64
    assert key(long) == key(long)


class Sender:
    """Keeps each batch until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.waiting: list[asyncio.Future[None]] = []

    async def __call__(self, items: Sequence[int]) -> Sequence[None]:
        self.batches.append(list(items))
        self.waiting.append(asyncio.get_running_loop().create_future())
        await self.waiting[-1]
        return [None] * len(items)


async def test_a_batch_leaves_at_once_and_fills_while_one_is_under_way() -> None:
    sender, heard = Sender(), list[BaseException | None]()
    batches: Batches[int] = Batches(sender, items=3, size=100)
    batches.add(1, 1, heard.append)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sender.batches == [[1]]
    for item in (2, 3, 4, 5):
        batches.add(item, 1, heard.append)
    batches.add(6, 99, heard.append)
    await asyncio.sleep(0)
    assert sender.batches == [[1]]
    flushed = asyncio.ensure_future(batches.flush())
    for number in range(3):
        while len(sender.waiting) <= number:
            await asyncio.sleep(0)
        sender.waiting[number].set_result(None)
    await flushed
    assert sender.batches == [[1], [2, 3, 4], [5, 6]]
    assert heard == [None] * 6
    assert not batches.busy


async def test_a_batch_that_fails_fails_for_each() -> None:
    sender, heard = Sender(), list[BaseException | None]()
    batches: Batches[int] = Batches(sender, items=3, size=100)
    for item in (1, 2):
        batches.add(item, 1, heard.append)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    error = ConnectionLostError("gone")
    sender.waiting[0].set_exception(error)
    await batches.flush()
    assert heard == [error, error]


@pytest.mark.parametrize(
    ("imports", "absent"),
    [
        ("asya.transports.registry, asya.transports.rabbitmq", ["grpc", "google", "botocore"]),
        # Google's client library and its credentials are large; an emulator needs neither.
        ("asya.transports.pubsub", ["google.pubsub_v1", "google.auth", "google.api_core", "proto", "requests"]),
    ],
)
def test_only_what_is_needed_is_imported(imports: str, absent: list[str]) -> None:
    source = f"import {imports}, sys; print(sorted(set(sys.modules) & set({absent!r})))"
    found = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"
