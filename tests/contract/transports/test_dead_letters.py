"""Dead letters in the hands of an operator: looked at, redriven, dropped; never lost."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from tests.contract.transports.harness import Harness, Inbox, MemoryHarness, SqliteHarness, depth_becomes

from asya.errors import ConnectionLostError, LeaseLostError, NoDestinationError, TooLargeError, TransportError
from asya.transports import DeadLetter, Outgoing, Settle, Transport

SETTLING = {
    "memory": "asya.transports.memory.broker.MemoryBroker.take_dead",
    "rabbitmq": "aio_pika.message.IncomingMessage.ack",
    "sqs": "asya.transports.sqs.settling.Settler.delete",
    "pubsub": "asya.transports.pubsub.dead_letters.PubsubDeadLetters._acknowledge",
}
"""By transport, what a redrive does when the publish was confirmed."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto has one server only: a question that waits for nothing asks it as well."""
    monkeypatch.setattr("asya.transports.sqs.dead_letters.POLL_SECONDS", 0)


async def dead_lettered(
    harness: Harness, bodies: Sequence[bytes], *, reason: str = "sump-failed", actor: str = "a"
) -> Transport:
    """Have messages dead-lettered by a consumer that is gone afterwards."""
    transport = await harness.connect(actor)
    await transport.publish([Outgoing(actor, body) for body in bodies])
    inbox = Inbox()
    consumer = await transport.consume(actor, len(bodies), inbox)
    for _ in bodies:
        await transport.complete(await inbox.take(), settle=Settle.DEAD_LETTER, reason=reason)
    await consumer.close()
    await depth_becomes(harness, transport, actor, ready=0, in_flight=0, dead=len(bodies))
    return transport


async def browsed(transport: Transport, actor: str = "a") -> list[DeadLetter]:
    async with transport.open_dead_letters(actor) as letters:
        return [letter async for letter in letters.browse()]


async def test_reason_attempts_and_age_are_told(harness: Harness) -> None:
    before = time.time()
    transport = await dead_lettered(harness, [b'{"n": 1}'], reason="too-large")
    (letter,) = await browsed(transport)
    assert (letter.body, letter.actor, letter.reason, letter.attempts) == (b'{"n": 1}', "a", "too-large", 1)
    if not isinstance(harness, MemoryHarness):  # its clock is the loop's
        assert letter.since is not None
        assert before - 1 <= letter.since <= time.time() + 1


async def test_what_nobody_gave_a_reason_for_has_none(harness: Harness) -> None:
    transport = await dead_lettered(harness, [b"1"], reason="")
    assert [letter.reason for letter in await browsed(transport)] == [None]


async def test_looking_twice_shows_the_same(harness: Harness) -> None:
    bodies = [b"%d" % number for number in range(12)]
    transport = await dead_lettered(harness, bodies)
    looks = [[letter.body for letter in await browsed(transport)] for _ in range(2)]
    assert [sorted(look) for look in looks] == [sorted(bodies)] * 2
    await depth_becomes(harness, transport, "a", ready=0, dead=12)


async def test_a_redriven_message_comes_once_with_all_its_attempts(harness: Harness) -> None:
    bodies = [b"\xff 1", b"2", b"3"]
    transport = await dead_lettered(harness, bodies)
    async with transport.open_dead_letters("a") as letters:
        async for letter in letters.browse():
            if letter.body != b"2":
                await letters.redrive(letter)
    inbox = Inbox()
    await transport.consume("a", 5, inbox)
    deliveries = await inbox.take_many(2)
    assert sorted((delivery.body, delivery.attempts) for delivery in deliveries) == [(b"3", 1), (b"\xff 1", 1)]
    for delivery in deliveries:
        await transport.complete(delivery)
    await depth_becomes(harness, transport, "a", ready=0, in_flight=0, dead=1)
    assert [letter.body for letter in await browsed(transport)] == [b"2"]


async def test_an_edited_message_comes_as_it_was_edited(harness: Harness) -> None:
    transport = await dead_lettered(harness, [b"bad"])
    async with transport.open_dead_letters("a") as letters:
        (letter,) = [letter async for letter in letters.browse()]
        with pytest.raises(TooLargeError):
            await letters.redrive(letter, b"x" * (harness.message_bytes + 1))
        await letters.redrive(letter, b"good")
    inbox = Inbox()
    await transport.consume("a", 1, inbox)
    await transport.complete(await inbox.take())
    assert inbox.bodies == [b"good"]
    await depth_becomes(harness, transport, "a", ready=0, in_flight=0, dead=0)


async def test_dropping_takes_one_and_no_other(harness: Harness) -> None:
    transport = await dead_lettered(harness, [b"1", b"2", b"2"])
    async with transport.open_dead_letters("a") as letters:
        found = [letter async for letter in letters.browse()]
        one = next(letter for letter in found if letter.body == b"2")
        await letters.drop(one)
        with pytest.raises(LeaseLostError):
            await letters.drop(one)
        with pytest.raises(LeaseLostError):
            await letters.redrive(one)
    assert sorted(letter.body for letter in await browsed(transport)) == [b"1", b"2"]
    await depth_becomes(harness, transport, "a", ready=0, dead=2)


async def test_what_dies_between_publishing_and_settling_leaves_two_never_none(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = await dead_lettered(harness, [b"precious"])
    if transport.name not in SETTLING:
        pytest.skip("one step: see the next test, and the one of Redis")

    def dies(*_: object) -> Any:
        raise ConnectionLostError("the process died")

    with monkeypatch.context() as patched:
        patched.setattr(SETTLING[transport.name], dies)
        async with transport.open_dead_letters("a") as letters:
            (letter,) = [letter async for letter in letters.browse()]
            with pytest.raises(ConnectionLostError):
                await letters.redrive(letter)
    await depth_becomes(harness, transport, "a", ready=1, dead=1)
    assert [letter.body for letter in await browsed(transport)] == [b"precious"]


async def test_a_transaction_that_fails_leaves_the_dead_letter_alone(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(harness, SqliteHarness):
        pytest.skip("two steps: see the test before")
    transport = await dead_lettered(harness, [b"precious"])

    def fails(_store: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    async with transport.open_dead_letters("a") as letters:
        (letter,) = [letter async for letter in letters.browse()]
        with monkeypatch.context() as patched:
            patched.setattr("asya.transports.sqlite.store.Store.commit", fails)
            with pytest.raises(TransportError):
                await letters.redrive(letter)
        await depth_becomes(harness, transport, "a", ready=0, dead=1)
        await letters.redrive(letter)
    await depth_becomes(harness, transport, "a", ready=1, dead=0)


async def test_two_who_redrive_at_once_lose_nothing(harness: Harness) -> None:
    bodies = [b"%d" % number for number in range(12)]
    first = await dead_lettered(harness, bodies)
    second = await harness.connect()

    async def redrive_all(transport: Transport) -> None:
        async with transport.open_dead_letters("a") as letters:
            async for letter in letters.browse():
                try:
                    await letters.redrive(letter)
                except LeaseLostError:
                    continue  # the other one has it

    await asyncio.gather(redrive_all(first), redrive_all(second))
    await depth_becomes(harness, first, "a", dead=0)
    inbox = Inbox()
    await first.consume("a", 50, inbox)
    while set(inbox.bodies) != set(bodies):
        await first.complete(await inbox.take())
    if first.name != "memory":  # publishes first, and then finds the letter gone
        assert Counter(inbox.bodies) == Counter(bodies)


async def test_an_actor_without_a_queue_is_named(harness: Harness) -> None:
    transport = await harness.connect("a")
    with pytest.raises(NoDestinationError, match="missing"):
        await browsed(transport, "missing")
    assert await transport.dead_letters("missing", 1) == []
