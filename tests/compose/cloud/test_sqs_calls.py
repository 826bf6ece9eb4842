"""The policy of an actor's role allows what its transport calls, and no more.

The transport works as the actor's pod would have it: settings as they are composed, credentials of the role, each call
authorised by the role's policy. Every call is noted, those of the AWS library where it makes them.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import botocore.session
import pytest
from moto.iam.access_control import IAMPolicy, PermissionResult
from tests.compose.cloud.actors import settings
from tests.compose.cloud.aws import ACCOUNT, REGION, Aws, running

from asya.errors import NoDestinationError
from asya.settings import load
from asya.transports import Delivery, Outgoing, Settle
from asya.transports.registry import queue_names
from asya.transports.settings import TransportSettings
from asya.transports.sqs import SqsTransport
from asya.transports.sqs.client import _ACTIONS
from asya.transports.sqs.direct import TARGETS, Direct
from asya.transports.sqs.exchange import Connections
from asya_composer.transports.sqs import Sqs

BUCKET = "asya-bodies"
LARGE = b"x" * 2048
"""Above the limit that the platform sets here."""
ADMINISTRATORS = {"sqs:CreateQueue", "sqs:DeleteQueue"}
"""Of `asya` on a workstation, which also looks at dead letters; no pod's."""

# AWS, Service Authorization Reference, "Actions, resources, and condition keys for Amazon SQS" and "... Amazon S3": a
# call's permission is called as the call is; calls in batches need that of the single call.
PERMISSIONS = {
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    "DeleteMessageBatch": "DeleteMessage",
    "SendMessageBatch": "SendMessage",
}
# Amazon SQS Developer Guide, "Configure KMS permissions for SQS queues": what SQS does with the key for whoever calls.
KEY_PERMISSIONS = {
    "sqs:SendMessage": {"kms:Decrypt", "kms:GenerateDataKey"},
    "sqs:ReceiveMessage": {"kms:Decrypt"},
}
# One of each class of things that an actor `resize` of namespace `shop` could reach.
QUEUES = {
    "asya_shop_resize": "its own queue",
    "asya_shop_resize_dlq": "its own dead letters",
    "asya_shop_paint": "a neighbour's queue",
    "asya_shop_nobody": "a neighbour's queue",
    "asya_shop_paint_dlq": "a neighbour's dead letters",
    "asya_shop_x-sink": "the end",
    "asya_bank_resize": "a queue of another namespace",
    "asya_bank_resize_dlq": "dead letters of another namespace",
}
OBJECTS = {
    "asya/shop/resize/1": "bodies for itself",
    "asya/shop/paint/1": "bodies for a neighbour",
    "asya/shop/nobody/1": "bodies for a neighbour",
    "asya/bank/resize/1": "bodies of another namespace",
    "elsewhere/1": "other objects",
}
ACTORS = [("shop", "resize"), ("shop", "paint"), ("shop", "x-sink"), ("bank", "resize")]
Calls = dict[str, set[str]]


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    own = {"maxMessageBytes": 1024, "claimCheck": {"bucket": BUCKET}}
    with running(ACTORS, settings("sqs", own=own)) as found:
        where = {"LocationConstraint": REGION}
        found.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
        yield found


@pytest.fixture(scope="module")
def seen(aws: Aws) -> Calls:
    """Permissions of the calls made, by what they were about."""
    found: Calls = defaultdict(set)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in aws.keys("shop", "resize").items():
            patch.setenv(name.upper(), value)
        make = botocore.session.get_session

        def noted(*args: Any, **named: Any) -> Any:
            session = make(*args, **named)
            session.register("before-parameter-build", lambda **event: note(found, **event))
            return session

        make_direct = Direct.call

        async def noted_too(self: Direct, connections: Connections, operation: str, *more: Any) -> Any:
            note(found, event_name=f"direct.sqs.{TARGETS[operation].partition('.')[2]}", params=more[0])
            return await make_direct(self, connections, operation, *more)

        patch.setattr(botocore.session, "get_session", noted)
        patch.setattr(Direct, "call", noted_too)
        asyncio.run(work(aws))
    return dict(found)


def note(found: Calls, *, event_name: str, params: Mapping[str, Any], **_: Any) -> None:
    service, operation = event_name.split(".")[1:]
    if service == "s3":
        assert params["Bucket"] == BUCKET
        *folder, _name = params["Key"].split("/")
        about = OBJECTS["/".join([*folder, "1"])]
    else:
        name = params.get("QueueName") or params["QueueUrl"].rpartition("/")[2]
        about = QUEUES[name]
    found[about].add(f"{service}:{PERMISSIONS.get(operation, operation)}")


class Pod:
    """What holds deliveries."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[Delivery] = asyncio.Queue()

    def __call__(self, delivery: Delivery) -> None:
        self._arrived.put_nowait(delivery)

    async def take(self, body: bytes) -> Delivery:
        async with asyncio.timeout(20):
            delivery = await self._arrived.get()
        assert delivery.body == body
        return delivery


async def work(aws: Aws) -> None:
    """Do everything that a sidecar does with its transport."""
    environment = {entry["name"]: entry["value"] for entry in Sqs().pod(aws.actor("shop", "resize")).env}
    told = load(TransportSettings, {**environment, "ASYA_NAMESPACE": "shop", "ASYA_TRANSPORT": "sqs"})
    here = replace(told.sqs, endpoint=aws.endpoint, claim_endpoint=aws.endpoint, wait_seconds=1.0, lease_seconds=5.0)
    transport, pod = SqsTransport(queue_names(told), here), Pod()
    with aws.authorising():
        await transport.open()
        await transport.consume("resize", 10, pod)

        # To itself, as a retry is; once with a delay, and held for longer.
        await transport.publish([Outgoing("resize", b"first"), Outgoing("resize", b"late", delay=1.0)])
        first = await pod.take(b"first")
        await transport.extend(first, 10.0)
        await transport.complete(first, [Outgoing("paint", b"one"), Outgoing("paint", b"two"), Outgoing("x-sink", b"")])
        late = await pod.take(b"late")
        await transport.complete(late, (), Settle.RELEASE)
        await transport.complete(await pod.take(b"late"), (), Settle.DEAD_LETTER)

        # What comes before its time, as delays beyond 900 s do again and again.
        await transport.publish([Outgoing("resize", b"early", delay=901.0)])
        await asyncio.to_thread(_send_early, aws)
        await transport.complete(await pod.take(b"early"))

        # Too large for SQS, for itself and for others; and to somebody who has no queue, which is taken back.
        await transport.publish([Outgoing("resize", LARGE), Outgoing("paint", LARGE)])
        await transport.complete(await pod.take(LARGE))
        with pytest.raises(NoDestinationError):
            await transport.publish([Outgoing("nobody", LARGE)])

        # Given back by who ends.
        await transport.publish([Outgoing("resize", b"last")])
        await pod.take(b"last")
        await transport.close()


def _send_early(aws: Aws) -> None:
    """A message that waits for a time that is about to come, as nothing can be received 15 minutes later here."""
    due = {"asya.due": {"DataType": "String", "StringValue": str(round((time.time() + 1.5) * 1000))}}
    # As a credential of the administrator's would be refused now, the actor's own are used.
    url = f"{aws.endpoint}/{ACCOUNT}/asya_shop_resize"
    session = botocore.session.get_session()
    client = session.create_client("sqs", region_name=REGION, endpoint_url=aws.endpoint)
    client.send_message(QueueUrl=url, MessageBody="early", MessageAttributes=due)


def granted(aws: Aws) -> Calls:
    """Everything that the policy allows, of all that the two services have, by what it is about."""
    policy = IAMPolicy(aws.wanted("shop", "resize")["role-policy"]["policy"])
    session = botocore.session.get_session()
    every = {f"{name}:{each}" for name in ("sqs", "s3") for each in session.get_service_model(name).operation_names}
    places = {f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}": about for name, about in QUEUES.items()}
    places |= {f"arn:aws:s3:::{BUCKET}/{key}": about for key, about in OBJECTS.items()}
    places[f"arn:aws:s3:::{BUCKET}"] = "the bucket"
    allowed = PermissionResult.PERMITTED
    found = {
        about: {each for each in every if policy.is_action_permitted(each, arn) is allowed}
        for arn, about in places.items()
    }
    return {about: actions for about, actions in found.items() if actions}


def test_what_is_granted_is_what_is_called(aws: Aws, seen: Calls) -> None:
    assert granted(aws) == seen


def test_every_call_that_the_transport_knows_was_seen(seen: Calls) -> None:
    called = set().union(*seen.values())
    assert called == set(_ACTIONS.values()) - ADMINISTRATORS


def test_of_the_key_is_granted_what_the_calls_need(aws: Aws, seen: Calls) -> None:
    called = set().union(*seen.values())
    needed = set().union(*(KEY_PERMISSIONS.get(each, set()) for each in called))
    with_key = replace(aws, platform=settings("sqs", own={"kmsKeyId": "1234"}))
    statements = json.loads(with_key.wanted("shop", "resize")["role-policy"]["policy"])["Statement"]
    (statement,) = (each for each in statements if each["Sid"] == "Key")
    assert set(statement["Action"]) == needed
