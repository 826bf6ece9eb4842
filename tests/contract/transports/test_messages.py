"""Bytes go in, come out, and are settled once."""

from __future__ import annotations

import asyncio
import os

import pytest
from tests.contract.transports.harness import Harness, Inbox, depth_becomes, until

from asya.errors import LeaseLostError, NoDestinationError, TooLargeError
from asya.transports import Outgoing, Settle

EVERY_BYTE = bytes(range(256))


async def test_what_is_published_is_received_and_acknowledged(harness: Harness) -> None:
    transport = await harness.connect("a")
    inbox = Inbox()
    await transport.consume("a", 1, inbox)
    await transport.publish([Outgoing("a", b"one")])
    delivery = await inbox.take()
    assert (delivery.body, delivery.actor, delivery.attempts) == (b"one", "a", 1)
    await depth_becomes(harness, transport, "a", ready=0, in_flight=1, delayed=0, dead=0)
    await transport.complete(delivery)
    await depth_becomes(harness, transport, "a", ready=0, in_flight=0, delayed=0, dead=0)


@pytest.mark.parametrize(
    "body",
    [b"", b"\x00", EVERY_BYTE * 3, "grüße 🐙".encode(), os.urandom(4095), os.urandom(4097), os.urandom(1024 * 1024)],
    ids=["empty", "nul", "every byte", "utf-8", "below a page", "above a page", "1 MiB"],
)
async def test_bodies_are_byte_exact(harness: Harness, body: bytes) -> None:
    transport = await harness.connect("a", "b")
    inbox, onward = Inbox(), Inbox()
    await transport.consume("a", 1, inbox)
    await transport.consume("b", 1, onward)
    await transport.publish([Outgoing("a", body)])
    await transport.complete(await inbox.take(), [Outgoing("b", body)])
    delivery = await onward.take()
    assert type(delivery.body) is bytes
    assert delivery.body == body
    await transport.complete(delivery, settle=Settle.DEAD_LETTER)
    await depth_becomes(harness, transport, "b", ready=0, dead=1)
    assert await transport.dead_letters("b", 10) == [body]


async def test_a_confirmed_publish_is_there_for_another_connection(harness: Harness) -> None:
    """Once the future is done the broker has it: the publisher may die at once."""
    publisher = await harness.connect("a")
    other = await harness.connect()
    await publisher.publish([Outgoing("a", b"%d" % number) for number in range(20)])
    await harness.crash(publisher)
    inbox = Inbox()
    await other.consume("a", 20, inbox)
    assert sorted(delivery.body for delivery in await inbox.take_many(20)) == sorted(b"%d" % n for n in range(20))


async def test_publishing_nothing_is_done(harness: Harness) -> None:
    transport = await harness.connect("a")
    await transport.publish([])
    await depth_becomes(harness, transport, "a", ready=0)


async def test_complete_publishes_before_it_settles(harness: Harness) -> None:
    """A destination that is missing leaves the delivery with its holder, and nothing behind."""
    transport = await harness.connect("a", "b")
    inbox = Inbox()
    await transport.consume("a", 1, inbox)
    await transport.publish([Outgoing("a", b"in")])
    delivery = await inbox.take()
    with pytest.raises(NoDestinationError) as caught:
        await transport.complete(delivery, [Outgoing("missing", b"out")])
    assert caught.value.actor == "missing"
    await depth_becomes(harness, transport, "a", ready=0, in_flight=1, dead=0)
    await transport.complete(delivery, [Outgoing("b", b"out")])
    await depth_becomes(harness, transport, "a", ready=0, in_flight=0, dead=0)
    await depth_becomes(harness, transport, "b", ready=1)


async def test_an_atomic_transport_publishes_all_or_nothing(harness: Harness) -> None:
    transport = await harness.connect("a", "b")
    if not transport.limits.atomic:
        assert harness.__class__.__name__ in {"RabbitmqHarness", "PubsubHarness", "SqsHarness"}
        return
    inbox = Inbox()
    await transport.consume("a", 1, inbox)
    await transport.publish([Outgoing("a", b"in")])
    delivery = await inbox.take()
    with pytest.raises(NoDestinationError):
        await transport.complete(delivery, [Outgoing("b", b"out"), Outgoing("missing", b"out")])
    with pytest.raises(NoDestinationError):
        await transport.publish([Outgoing("b", b"out"), Outgoing("missing", b"out")])
    await depth_becomes(harness, transport, "b", ready=0)
    await transport.complete(delivery)


async def test_several_results_go_to_their_queues(harness: Harness) -> None:
    transport = await harness.connect("a", "b", "c")
    inbox = Inbox()
    await transport.consume("a", 1, inbox)
    await transport.publish([Outgoing("a", b"in")])
    results = [Outgoing("b", b"1"), Outgoing("c", b"2"), Outgoing("b", b"3")]
    await transport.complete(await inbox.take(), results)
    await depth_becomes(harness, transport, "b", ready=2)
    await depth_becomes(harness, transport, "c", ready=1)


async def test_a_message_to_itself_comes_back(harness: Harness) -> None:
    """A retry: published to the own queue while the old delivery is settled."""
    transport = await harness.connect("a")
    inbox = Inbox()
    await transport.consume("a", 1, inbox)
    await transport.publish([Outgoing("a", b"first")])
    await transport.complete(await inbox.take(), [Outgoing("a", b"second")])
    again = await inbox.take()
    assert (again.body, again.attempts) == (b"second", 1)
    await transport.complete(again)
    await depth_becomes(harness, transport, "a", ready=0, in_flight=0)


async def test_too_large_publishes_nothing(harness: Harness) -> None:
    harness.message_bytes = 1000
    transport = await harness.connect("a", "b")
    inbox = Inbox()
    await transport.consume("a", 1, inbox)
    with pytest.raises(TooLargeError) as caught:
        await transport.publish([Outgoing("b", b"x" * 1000), Outgoing("b", b"x" * 1001)])
    assert (caught.value.actor, caught.value.size, caught.value.limit) == ("b", 1001, 1000)
    await transport.publish([Outgoing("a", b"in")])
    delivery = await inbox.take()
    with pytest.raises(TooLargeError):
        await transport.complete(delivery, [Outgoing("b", b"x"), Outgoing("b", b"x" * 1001)])
    await depth_becomes(harness, transport, "a", ready=0, in_flight=1)
    await depth_becomes(harness, transport, "b", ready=0)
    await transport.complete(delivery, [Outgoing("b", b"x" * 1000)])
    await depth_becomes(harness, transport, "b", ready=1)


async def test_release_comes_back_at_once(harness: Harness) -> None:
    transport = await harness.connect("a")
    inbox = Inbox()
    await transport.consume("a", 1, inbox)
    await transport.publish([Outgoing("a", b"in")])
    await transport.complete(await inbox.take(), settle=Settle.RELEASE)
    again = await inbox.take()
    assert again.body == b"in"
    await transport.complete(again)
    await depth_becomes(harness, transport, "a", ready=0, in_flight=0, dead=0)


async def test_a_delivery_is_settled_once(harness: Harness) -> None:
    transport = await harness.connect("a", "b")
    inbox = Inbox()
    await transport.consume("a", 1, inbox)
    await transport.publish([Outgoing("a", b"in")])
    delivery = await inbox.take()
    await transport.complete(delivery)
    with pytest.raises(LeaseLostError):
        await transport.complete(delivery)
    with pytest.raises(LeaseLostError):
        await transport.complete(delivery, settle=Settle.RELEASE)
    with pytest.raises(LeaseLostError):
        await transport.complete(delivery, settle=Settle.DEAD_LETTER)
    await depth_becomes(harness, transport, "a", ready=0, in_flight=0, dead=0)


@pytest.mark.parametrize("settle", [Settle.RELEASE, Settle.DEAD_LETTER])
async def test_only_an_acknowledgement_takes_messages(harness: Harness, settle: Settle) -> None:
    transport = await harness.connect("a", "b")
    inbox = Inbox()
    await transport.consume("a", 1, inbox)
    await transport.publish([Outgoing("a", b"in")])
    delivery = await inbox.take()
    with pytest.raises(ValueError, match="takes no messages"):
        transport.complete(delivery, [Outgoing("b", b"out")], settle)
    await transport.complete(delivery)


async def test_many_in_flight_settled_out_of_order(harness: Harness) -> None:
    transport = await harness.connect("a", "b")
    inbox = Inbox()
    await transport.consume("a", 50, inbox)
    await transport.publish([Outgoing("a", b"%d" % number) for number in range(200)])
    waiting: list[asyncio.Future[None]] = []
    for _ in range(4):
        part = await inbox.take_many(50)
        waiting += [transport.complete(delivery, [Outgoing("b", delivery.body)]) for delivery in reversed(part)]
        await asyncio.gather(*waiting[-50:])
    assert sorted(inbox.bodies) == sorted(b"%d" % number for number in range(200))
    await depth_becomes(harness, transport, "a", ready=0, in_flight=0, dead=0)
    await depth_becomes(harness, transport, "b", ready=200)


async def test_what_the_caller_stopped_waiting_for_still_happens(harness: Harness) -> None:
    """Giving up a wait must not leave a delivery half settled."""
    transport = await harness.connect("a", "b")
    inbox = Inbox()
    await transport.consume("a", 1, inbox)
    await transport.publish([Outgoing("a", b"1"), Outgoing("a", b"2")])
    done = asyncio.shield(transport.complete(await inbox.take(), [Outgoing("b", b"out")]))
    done.cancel()
    assert (await inbox.take()).body == b"2"

    async def arrived() -> bool:
        return (await transport.depth(["b"]))["b"].ready == 1

    await until(arrived, "the result is in b")
