"""Credit, sharing, closing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from tests.contract.transports.harness import BOUND, Harness, Inbox, depth_becomes, until

from asya.errors import NoDestinationError
from asya.transports import Delivery, Outgoing, Transport


def bodies(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


async def fill(transport: Transport, actor: str, count: int) -> None:
    await transport.publish([Outgoing(actor, body) for body in bodies(count)])


@pytest.mark.parametrize("credit", [1, 3])
async def test_credit_is_never_exceeded(harness: Harness, credit: int) -> None:
    transport = await harness.connect("a")
    await fill(transport, "a", 30)
    inbox = Inbox()
    await transport.consume("a", credit, inbox)
    for _ in range(30):
        delivery = await inbox.take()
        await depth_becomes(harness, transport, "a", dead=0)  # a round trip, in which more could come by mistake
        inbox.settled()  # before the call: the next may come as soon as the broker has settled this one
        await transport.complete(delivery)
    assert inbox.most_out == credit
    assert sorted(inbox.bodies) == sorted(bodies(30))


async def test_credit_is_used(harness: Harness) -> None:
    transport = await harness.connect("a")
    await fill(transport, "a", 10)
    inbox = Inbox()
    await transport.consume("a", 7, inbox)
    await inbox.take_many(7)
    await depth_becomes(harness, transport, "a", ready=3, in_flight=7)


async def test_no_credit_receives_nothing_and_gives_nothing_back(harness: Harness) -> None:
    transport = await harness.connect("a")
    await fill(transport, "a", 2)
    inbox = Inbox()
    consumer = await transport.consume("a", 1, inbox)
    held = await inbox.take()
    consumer.set_credit(0)
    await transport.complete(held)
    await depth_becomes(harness, transport, "a", ready=1, in_flight=0)
    assert len(inbox.deliveries) == 1
    await transport.publish([Outgoing("a", b"more")])
    await depth_becomes(harness, transport, "a", ready=2, in_flight=0)
    assert len(inbox.deliveries) == 1
    consumer.set_credit(2)
    await inbox.take_many(2)
    await depth_becomes(harness, transport, "a", ready=0, in_flight=2)


async def test_a_held_delivery_can_be_settled_without_credit(harness: Harness) -> None:
    transport = await harness.connect("a", "b")
    await fill(transport, "a", 3)
    inbox = Inbox()
    consumer = await transport.consume("a", 3, inbox)
    held = await inbox.take_many(3)
    consumer.set_credit(0)
    for delivery in held:
        await transport.complete(delivery, [Outgoing("b", delivery.body)])
    await depth_becomes(harness, transport, "a", ready=0, in_flight=0)
    await depth_becomes(harness, transport, "b", ready=3)


async def test_consuming_before_anything_is_published(harness: Harness) -> None:
    """An idle consumer is woken, also by another connection."""
    consuming = await harness.connect("a")
    publishing = await harness.connect()
    inbox = Inbox()
    await consuming.consume("a", 1, inbox)
    for number in range(5):
        await publishing.publish([Outgoing("a", b"%d" % number)])
        delivery = await inbox.take(bound=4.0)  # below the time at which SQLite looks without being woken
        assert delivery.body == b"%d" % number
        await consuming.complete(delivery)


async def test_two_consumers_share(harness: Harness) -> None:
    if not harness.keeps_to_credit:
        pytest.skip("Google's emulator pays no heed to a stream's flow control")
    one, two = await harness.connect("a"), await harness.connect()
    first, second = Inbox(), Inbox()
    await one.consume("a", 1, first)
    await two.consume("a", 1, second)
    await fill(one, "a", 2)
    taken = [(one, await first.take()), (two, await second.take())]
    assert sorted(delivery.body for _, delivery in taken) == [b"0", b"1"]
    for transport, delivery in taken:
        await transport.complete(delivery)
    await depth_becomes(harness, one, "a", ready=0, in_flight=0)


async def test_two_consumers_get_each_message_once(harness: Harness) -> None:
    transports = [await harness.connect("a"), await harness.connect()]
    await fill(transports[0], "a", 100)
    seen: list[bytes] = []
    finished = asyncio.Event()
    settling: set[asyncio.Future[None]] = set()

    def receiver(transport: Transport) -> Callable[[Delivery], None]:
        def receive(delivery: Delivery) -> None:
            seen.append(delivery.body)
            settling.add(transport.complete(delivery))
            if len(seen) >= 100:
                finished.set()

        return receive

    for transport in transports:
        await transport.consume("a", 5, receiver(transport))
    async with asyncio.timeout(BOUND):
        await finished.wait()
    await asyncio.gather(*settling)
    assert sorted(seen) == sorted(bodies(100))
    await depth_becomes(harness, transports[0], "a", ready=0, in_flight=0, dead=0)


async def test_a_consumer_per_queue(harness: Harness) -> None:
    transport = await harness.connect("a", "b")
    first, second = Inbox(), Inbox()
    await transport.consume("a", 1, first)
    await transport.consume("b", 1, second)
    await transport.publish([Outgoing("b", b"for b"), Outgoing("a", b"for a")])
    assert (await first.take()).body == b"for a"
    assert (await second.take()).body == b"for b"


async def test_a_queue_that_is_missing_cannot_be_consumed(harness: Harness) -> None:
    transport = await harness.connect("a")
    with pytest.raises(NoDestinationError) as caught:
        await transport.consume("missing", 1, Inbox())
    assert caught.value.actor == "missing"
    assert caught.value.queue == harness.queue("missing")


async def test_a_closed_consumer_receives_nothing_more(harness: Harness) -> None:
    transport = await harness.connect("a")
    inbox, other = Inbox(), Inbox()
    consumer = await transport.consume("a", 2, inbox)
    await fill(transport, "a", 5)
    held = await inbox.take_many(2)
    await consumer.close()
    await depth_becomes(harness, transport, "a", ready=3, in_flight=2)
    for delivery in held:  # what it had can still be settled
        await transport.complete(delivery)
    await depth_becomes(harness, transport, "a", ready=3, in_flight=0)
    assert len(inbox.deliveries) == 2
    await transport.consume("a", 5, other)
    await other.take_many(3)


async def test_closing_a_transport_releases_what_is_unsettled(harness: Harness) -> None:
    leaving, staying = await harness.connect("a"), await harness.connect()
    await fill(leaving, "a", 3)
    inbox, other = Inbox(), Inbox()
    await leaving.consume("a", 3, inbox)
    held = await inbox.take_many(3)
    await leaving.complete(held[1])
    await staying.consume("a", 3, other)
    await leaving.close()
    again = await other.take_many(2)
    assert sorted(delivery.body for delivery in again) == sorted([held[0].body, held[2].body])
    for delivery in again:
        await staying.complete(delivery)
    await depth_becomes(harness, staying, "a", ready=0, in_flight=0, dead=0)


async def test_closing_carries_out_what_was_asked_for(harness: Harness) -> None:
    leaving, staying = await harness.connect("a", "b"), await harness.connect()
    inbox = Inbox()
    await leaving.consume("a", 1, inbox)
    await leaving.publish([Outgoing("a", b"in")])
    done = leaving.complete(await inbox.take(), [Outgoing("b", b"out")])
    published = leaving.publish([Outgoing("b", b"more")])
    await leaving.close()
    await asyncio.gather(done, published)
    await depth_becomes(harness, staying, "a", ready=0, in_flight=0)
    await depth_becomes(harness, staying, "b", ready=2)


async def test_open_and_close_can_be_called_again(harness: Harness) -> None:
    transport = await harness.connect("a")
    connected: list[bool] = []
    transport.link.on_change.append(connected.append)
    await transport.open()
    await transport.close()
    await transport.close()
    assert connected == [False]


async def test_a_crashed_consumers_messages_come_again(harness: Harness) -> None:
    harness.lease_seconds = 0.5
    dying, living = await harness.connect("a"), await harness.connect()
    await fill(dying, "a", 3)
    inbox, other = Inbox(), Inbox()
    await dying.consume("a", 3, inbox)
    held = await inbox.take_many(3)
    await dying.complete(held[0])
    await living.consume("a", 3, other)
    await harness.crash(dying)
    again = await other.take_many(2)
    assert sorted(delivery.body for delivery in again) == sorted([held[1].body, held[2].body])
    assert [delivery.attempts for delivery in again] == [2, 2]
    for delivery in again:
        await living.complete(delivery)

    async def empty() -> bool:
        return (await living.depth(["a"]))["a"].backlog == 0

    await until(empty, "a is empty")
