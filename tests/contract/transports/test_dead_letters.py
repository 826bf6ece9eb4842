"""Dead letters in the hands of an operator: looked at, redriven, dropped; never lost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import pytest
from tests.contract.transports.harness import Harness, Inbox, MemoryHarness, depth_becomes

from asya.errors import ConnectionLostError, LeaseLostError, NoDestinationError, TooLargeError
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


async def dead_lettered(harness: Harness, bodies: Sequence[bytes], *reasons: str) -> Transport:
    """Have messages dead-lettered, for one of the `reasons` each, by a consumer that is gone afterwards."""
    transport = await harness.connect("a")
    await transport.publish([Outgoing("a", body) for body in bodies])
    inbox = Inbox()
    consumer = await transport.consume("a", len(bodies), inbox)
    deliveries = await inbox.take_many(len(bodies))
    consumer.set_credit(0)
    why = dict(zip(bodies, reasons or cycle(["sump-failed"]), strict=False))
    await asyncio.gather(
        *(transport.complete(each, settle=Settle.DEAD_LETTER, reason=why[each.body]) for each in deliveries)
    )
    await consumer.close()
    await depth_becomes(harness, transport, "a", ready=0, in_flight=0, dead=len(bodies))
    return transport


async def browsed(transport: Transport, actor: str = "a") -> list[DeadLetter]:
    async with transport.open_dead_letters(actor) as letters:
        return [letter async for letter in letters.browse()]


async def test_reason_attempts_and_age_are_told(harness: Harness) -> None:
    before = time.time()
    transport = await dead_lettered(harness, [b'{"n": 1}', b"2"], "too-large", "")
    letters = await browsed(transport)
    assert {letter.body: letter.reason for letter in letters} == {b'{"n": 1}': "too-large", b"2": None}
    assert {(letter.actor, letter.attempts) for letter in letters} == {("a", 1)}
    for letter in letters:
        assert letter.since is not None
        if not isinstance(harness, MemoryHarness):  # its clock is the loop's
            assert before - 1 <= letter.since <= time.time() + 1
    with pytest.raises(NoDestinationError, match="missing"):
        await browsed(transport, "missing")
    assert await transport.dead_letters("missing", 1) == []


async def test_looking_twice_shows_the_same(harness: Harness) -> None:
    bodies = [b"%d" % number for number in range(12)]
    transport = await dead_lettered(harness, bodies)
    looks = [[letter.body for letter in await browsed(transport)] for _ in range(2)]
    assert [sorted(look) for look in looks] == [sorted(bodies)] * 2
    await depth_becomes(harness, transport, "a", ready=0, dead=12)


async def test_each_is_redriven_edited_dropped_or_left_alone(harness: Harness) -> None:
    """What is redriven comes once, and has all its attempts again."""
    transport = await dead_lettered(harness, [b"\xff as it was", b"bad", b"copy", b"copy", b"left"])
    async with transport.open_dead_letters("a") as letters:
        found = {letter.body: letter async for letter in letters.browse()}
        await letters.redrive(found[b"\xff as it was"])
        with pytest.raises(TooLargeError):
            await letters.redrive(found[b"bad"], b"x" * (harness.message_bytes + 1))
        await letters.redrive(found[b"bad"], b"good")
        await letters.drop(found[b"copy"])
        with pytest.raises(LeaseLostError):
            await letters.drop(found[b"copy"])
        with pytest.raises(LeaseLostError):
            await letters.redrive(found[b"copy"])
    await depth_becomes(harness, transport, "a", ready=2, dead=2)
    assert sorted(letter.body for letter in await browsed(transport)) == [b"copy", b"left"]
    inbox = Inbox()
    consumer = await transport.consume("a", 2, inbox)
    deliveries = await inbox.take_many(2)
    consumer.set_credit(0)
    assert sorted((each.body, each.attempts) for each in deliveries) == [(b"good", 1), (b"\xff as it was", 1)]
    await asyncio.gather(*map(transport.complete, deliveries))
    await depth_becomes(harness, transport, "a", ready=0, in_flight=0, dead=2)


async def test_what_dies_between_publishing_and_settling_leaves_two_never_none(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = await dead_lettered(harness, [b"precious"])
    if transport.name not in SETTLING:
        pytest.skip("one step: see the tests of SQLite and Redis alone")

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
