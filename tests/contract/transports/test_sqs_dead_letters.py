"""What only SQS has of dead letters: ids against copies, bodies in S3, and leases that are kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from tests.contract.transports.harness import Inbox, depth_becomes, until
from tests.contract.transports.sqs_harness import SqsHarness
from tests.support.moto_server import MotoServer

from asya.transports import DeadLetter, DeadLetters, Outgoing, Settle, Transport
from asya.transports.sqs import SqsTransport, dead_letters, order

LARGE = json.dumps({"id": "large", "route": {"curr": "a"}, "payload": "z" * 3000}).encode()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto has one server only: a question that waits for nothing asks it as well."""
    monkeypatch.setattr(dead_letters, "POLL_SECONDS", 0)


@pytest_asyncio.fixture
async def sqs(moto_server: MotoServer) -> AsyncIterator[SqsHarness]:
    harness = SqsHarness(moto_server)
    yield harness
    await harness.end()


@pytest_asyncio.fixture
async def fifo(moto_server: MotoServer) -> AsyncIterator[SqsHarness]:
    harness = SqsHarness(moto_server, fifo=True)
    yield harness
    await harness.end()


async def dead_lettered(sqs: SqsHarness, body: bytes) -> Transport:
    """Have a message dead-lettered, whose body is in S3 when it is over 1 KiB."""
    await sqs.connect("a")
    transport = SqsTransport(sqs.names, replace(sqs.settings(), message_bytes=1024, claim_bytes=8192))
    sqs._transports.append(transport)
    await transport.open()
    await transport.publish([Outgoing("a", body)])
    inbox = Inbox()
    consumer = await transport.consume("a", 1, inbox)
    await transport.complete(await inbox.take(), settle=Settle.DEAD_LETTER, reason="sump-failed")
    await consumer.close()
    return transport


async def the_one(letters: DeadLetters) -> DeadLetter:
    (letter,) = [letter async for letter in letters.browse()]
    return letter


def objects(sqs: SqsHarness) -> list[str]:
    """Keys in the bucket, of this test's namespace."""
    found = sqs.server.client("s3").list_objects_v2(Bucket=sqs.server.bucket, Prefix=f"asya/{sqs.names.namespace}/")
    return [each["Key"] for each in found.get("Contents", ())]


async def test_what_was_published_a_moment_ago_is_not_taken_for_a_copy(fifo: SqsHarness) -> None:
    """Within 5 minutes AWS drops a second message of the same step without a word; moto only while it is there."""
    body = json.dumps({"id": "one", "route": {"curr": "a"}, "payload": 1}).encode()
    transport = await dead_lettered(fifo, body)
    async with transport.open_dead_letters("a") as letters:
        await letters.redrive(await the_one(letters))
    client = fifo.server.client("sqs")
    url = client.get_queue_url(QueueName=fifo.queue("a"))["QueueUrl"]
    (message,) = client.receive_message(QueueUrl=url, MessageSystemAttributeNames=["All"])["Messages"]
    first = order.of(body)
    assert message["Attributes"]["MessageGroupId"] == first.group, "it keeps its place in the order"
    assert message["Attributes"]["MessageDeduplicationId"] != first.dedup


async def test_a_body_in_the_bucket_goes_with_its_message(sqs: SqsHarness) -> None:
    transport = await dead_lettered(sqs, LARGE)
    before = objects(sqs)
    async with transport.open_dead_letters("a") as letters:
        letter = await the_one(letters)
        assert letter.body == LARGE
        await letters.redrive(letter)
    assert objects(sqs) == before
    inbox = Inbox()
    await transport.consume("a", 1, inbox)
    delivery = await inbox.take()
    assert delivery.body == LARGE
    await transport.complete(delivery)

    async def gone() -> bool:
        return not objects(sqs)

    await until(gone, "no object is left")


async def test_a_body_in_the_bucket_is_replaced(sqs: SqsHarness) -> None:
    transport = await dead_lettered(sqs, LARGE)
    (old,) = objects(sqs)
    new = b"y" * 4000
    async with transport.open_dead_letters("a") as letters:
        await letters.redrive(await the_one(letters), new)

    async def replaced() -> bool:
        return old not in objects(sqs) and len(objects(sqs)) == 1

    await until(replaced, "the old object is gone")
    inbox = Inbox()
    await transport.consume("a", 1, inbox)
    delivery = await inbox.take()
    assert delivery.body == new
    await transport.complete(delivery)


async def test_a_body_in_the_bucket_is_dropped_with_its_message(sqs: SqsHarness) -> None:
    transport = await dead_lettered(sqs, LARGE)
    async with transport.open_dead_letters("a") as letters:
        await letters.drop(await the_one(letters))

    async def gone() -> bool:
        return not objects(sqs)

    await until(gone, "no object is left")
    await depth_becomes(sqs, transport, "a", dead=0)


async def test_what_is_looked_at_for_long_stays_hidden_from_others(
    sqs: SqsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "HELD_SECONDS", 1)
    transport = await dead_lettered(sqs, b"x")
    other = await sqs.connect()
    async with transport.open_dead_letters("a") as letters:
        letter = await the_one(letters)
        await asyncio.sleep(1.5)  # longer than a lease that nobody prolongs
        assert await other.dead_letters("a", 1) == []
        await letters.redrive(letter)
    await depth_becomes(sqs, transport, "a", ready=1, dead=0)
