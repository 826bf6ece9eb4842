"""Delays, leases, and messages that kill whoever takes them."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.contract.transports.harness import Harness, Inbox, depth_becomes, depth_of, until

from asya.errors import LeaseLostError, NoDestinationError
from asya.transports import Outgoing


async def test_a_delayed_message_comes_when_its_time_has_come(harness: Harness) -> None:
    transport = await harness.connect("a")
    inbox = Inbox()
    await transport.consume("a", 1, inbox)
    delay = 2 * harness.shortest_delay
    start = time.monotonic()
    await transport.publish([Outgoing("a", b"later", delay)])
    delivery = await inbox.take()
    assert time.monotonic() - start >= delay
    assert delivery.body == b"later"
    await transport.complete(delivery)


async def test_a_short_delay_does_not_wait_behind_a_long_one(harness: Harness) -> None:
    transport = await harness.connect("a")
    inbox = Inbox()
    await transport.consume("a", 5, inbox)
    await transport.publish([Outgoing("a", b"long", 3600.0)])
    await transport.publish([Outgoing("a", b"middle", 6 * harness.shortest_delay)])
    await transport.publish([Outgoing("a", b"short", harness.shortest_delay)])
    await transport.publish([Outgoing("a", b"now")])
    assert [delivery.body for delivery in await inbox.take_many(3)] == [b"now", b"short", b"middle"]
    await depth_becomes(harness, transport, "a", ready=0, in_flight=3, delayed=1, dead=0)


async def test_a_delayed_retry_replaces_its_delivery(harness: Harness) -> None:
    transport = await harness.connect("a")
    inbox = Inbox()
    await transport.consume("a", 1, inbox)
    await transport.publish([Outgoing("a", b"first")])
    await transport.complete(await inbox.take(), [Outgoing("a", b"again", harness.shortest_delay)])
    delivery = await inbox.take()
    assert (delivery.body, delivery.attempts) == (b"again", 1)
    await transport.complete(delivery)
    await depth_becomes(harness, transport, "a", ready=0, in_flight=0, delayed=0)


async def test_a_delay_does_not_hide_a_missing_destination(harness: Harness) -> None:
    transport = await harness.connect("a")
    with pytest.raises(NoDestinationError):
        await transport.publish([Outgoing("missing", b"later", 3600.0)])


async def test_a_lease_that_runs_out_goes_to_somebody_else(harness: Harness) -> None:
    harness.lease_seconds = 0.3
    slow, quick = await harness.connect("a", "b"), await harness.connect()
    await slow.publish([Outgoing("a", b"in")])
    inbox, other = Inbox(), Inbox()
    await slow.consume("a", 1, inbox)
    held = await inbox.take()
    if not harness.has_leases:
        assert held.lease_seconds is None
        await slow.extend(held, 30.0)  # nothing to do, and no error
        await slow.complete(held)
        return
    assert held.lease_seconds == pytest.approx(harness.lease)
    await quick.consume("a", 1, other)
    again = await other.take()
    assert (again.body, again.attempts) == (b"in", 2)
    await quick.extend(again, 30.0)
    with pytest.raises(LeaseLostError):
        await slow.extend(held, 30.0)
    with pytest.raises(LeaseLostError):
        await slow.complete(held, [Outgoing("b", b"out")])
    await depth_becomes(harness, quick, "b", ready=0)  # settling too late has published nothing
    await quick.complete(again, [Outgoing("b", b"out")])
    await depth_becomes(harness, quick, "a", ready=0, in_flight=0, dead=0)
    await depth_becomes(harness, quick, "b", ready=1)


@pytest.mark.parametrize("asked", ["complete", "extend"])
async def test_a_lease_that_ran_out_frees_its_credit(harness: Harness, asked: str) -> None:
    """Who stood still for longer than its leases, with all credit out, goes on receiving."""
    if not harness.has_leases:
        return
    harness.lease_seconds = 0.3
    transport, inbox = await harness.connect("a"), Inbox()
    await transport.publish([Outgoing("a", b"1"), Outgoing("a", b"2")])
    consumer = await transport.consume("a", 2, inbox)
    held = await inbox.take_many(2)
    await asyncio.sleep(harness.lease + 0.1)  # the time under test
    ours, lost = [], []
    for delivery in held:
        try:
            await (transport.complete(delivery) if asked == "complete" else transport.extend(delivery, 30.0))
        except LeaseLostError:
            lost.append(delivery.body)
        else:
            ours.append(delivery)  # where a lease that is over is still ours until somebody else takes the message
    again = await inbox.take_many(len(lost))
    assert sorted(delivery.body for delivery in again) == lost
    consumer.set_credit(0)
    await asyncio.gather(*map(transport.complete, [*again, *(ours if asked == "extend" else [])]))
    await depth_becomes(harness, transport, "a", ready=0, in_flight=0, dead=0)


async def test_an_extended_lease_is_kept(harness: Harness) -> None:
    """The long-held message must not come before one that is delayed beyond its first lease."""
    if not harness.keeps_to_credit:
        pytest.skip("Google's emulator pays no heed to a stream's flow control")
    harness.lease_seconds = 0.3
    holding, other = await harness.connect("a"), await harness.connect()
    inbox, elsewhere = Inbox(), Inbox()
    await holding.consume("a", 1, inbox)
    await holding.publish([Outgoing("a", b"held")])
    held = await inbox.take()
    await holding.extend(held, 30.0)
    await other.consume("a", 2, elsewhere)
    await holding.publish([Outgoing("a", b"after", 0.5 + harness.lease)])
    assert (await elsewhere.take()).body == b"after"
    await holding.complete(held)
    assert elsewhere.bodies == [b"after"]


async def test_a_message_that_kills_its_consumer_ends_in_the_dead_letters(harness: Harness) -> None:
    """Bytes unchanged; delivered as often as the limit says (RabbitMQ: the limit counts returns, so once more)."""
    harness.lease_seconds = 0.2
    limit = max(3, harness.fewest_deliveries)
    watching = await harness.connect("a", delivery_limit=limit)
    await watching.publish([Outgoing("a", b"poison \xff")])
    deliveries = 0

    async def dead() -> bool:
        return (await depth_of(watching, "a")).dead == 1

    while deliveries <= limit + 1 and not await dead():
        victim, inbox = await harness.connect(), Inbox()
        await victim.consume("a", 1, inbox)

        async def comes_or_is_dead(inbox: Inbox = inbox) -> bool:
            return bool(inbox.deliveries) or await dead()

        await until(comes_or_is_dead, "the message comes again or is dead")
        if inbox.deliveries:
            deliveries += 1
            assert inbox.deliveries[0].attempts == deliveries
        await harness.crash(victim)
    await depth_becomes(harness, watching, "a", ready=0, in_flight=0, dead=1)
    assert deliveries in {limit, limit + 1}
    assert await watching.dead_letters("a", 5) == [b"poison \xff"]
    async with watching.open_dead_letters("a") as letters:
        (letter,) = [letter async for letter in letters.browse()]
    assert (letter.reason, letter.attempts) == ("delivery-limit", deliveries)


async def test_giving_back_is_no_failed_delivery(harness: Harness) -> None:
    """More often than the limit, but for brokers that count returns: RabbitMQ before 4.3, Pub/Sub."""
    from asya.transports import Settle

    transport = await harness.connect("a", delivery_limit=20)
    inbox = Inbox()
    await transport.consume("a", 1, inbox)
    await transport.publish([Outgoing("a", b"in")])
    times = 10 if harness.counts_returns else 40
    for _ in range(times):
        await transport.complete(await inbox.take(), settle=Settle.RELEASE)
    await transport.complete(await inbox.take())
    await depth_becomes(harness, transport, "a", ready=0, in_flight=0, dead=0)
