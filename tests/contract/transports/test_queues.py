"""Declaring, counting, dropping."""

from __future__ import annotations

import pytest
from tests.contract.transports.harness import Harness, Inbox, depth_becomes, depth_of, until

from asya.errors import NoDestinationError, TransportError
from asya.transports import Outgoing, QueueSpec, Settle


async def test_declaring_again_changes_nothing(harness: Harness) -> None:
    transport = await harness.connect("a")
    await transport.publish([Outgoing("a", b"kept")])
    other = await harness.connect("a", "b")
    await other.declare([QueueSpec("a"), QueueSpec("b")])
    await depth_becomes(harness, transport, "a", ready=1, dead=0)
    await depth_becomes(harness, transport, "b", ready=0, dead=0)


async def test_declaring_with_other_properties_is_reported(harness: Harness) -> None:
    transport = await harness.connect("a")
    await transport.publish([Outgoing("a", b"kept")])
    with pytest.raises(TransportError, match=harness.queue("a")):
        await transport.declare([QueueSpec("a", delivery_limit=7)])
    await depth_becomes(harness, transport, "a", ready=1)


async def test_declaring_nothing(harness: Harness) -> None:
    transport = await harness.connect()
    await transport.declare([])
    assert await transport.depth([]) == {}


async def test_publishing_to_a_queue_that_is_missing(harness: Harness) -> None:
    transport = await harness.connect("a")
    with pytest.raises(NoDestinationError) as caught:
        await transport.publish([Outgoing("missing", b"lost")])
    assert caught.value.actor == "missing"
    await transport.declare([QueueSpec("missing")])
    await transport.publish([Outgoing("missing", b"found")])
    await depth_becomes(harness, transport, "missing", ready=1)
    await transport.drop(["missing"])


async def test_depth_counts_every_state(harness: Harness) -> None:
    transport = await harness.connect("a", "b")
    await transport.publish([Outgoing("a", b"%d" % number) for number in range(6)])
    inbox = Inbox()
    consumer = await transport.consume("a", 3, inbox)
    held = await inbox.take_many(3)
    consumer.set_credit(0)
    await transport.complete(held[0])
    await transport.complete(held[1], settle=Settle.DEAD_LETTER)
    await transport.publish([Outgoing("a", b"later", 3600.0)])
    await depth_becomes(harness, transport, "a", ready=3, in_flight=1, delayed=1, dead=1)
    found = await transport.depth(["a", "b", "missing"])
    assert sorted(found) == ["a", "b"]
    assert found["b"].ready == 0
    if harness.counts_in_flight:
        assert found["a"].backlog == 4


async def test_depth_tells_the_age_of_the_oldest_where_it_can(harness: Harness) -> None:
    transport = await harness.connect("a")
    assert (await depth_of(transport, "a")).oldest_seconds is None
    await transport.publish([Outgoing("a", b"old")])
    await depth_becomes(harness, transport, "a", ready=1)
    first = (await depth_of(transport, "a")).oldest_seconds
    if first is None:
        assert not harness.tells_age
        return
    assert 0 <= first < 5

    async def older() -> bool:
        age = (await depth_of(transport, "a")).oldest_seconds
        return age is not None and age > first

    await until(older, "the message grows older")


async def test_dead_letters_are_looked_at_not_taken(harness: Harness) -> None:
    transport = await harness.connect("a")
    await transport.publish([Outgoing("a", b"%d" % number) for number in range(3)])
    inbox = Inbox()
    await transport.consume("a", 1, inbox)
    for _ in range(3):
        await transport.complete(await inbox.take(), settle=Settle.DEAD_LETTER)
    await depth_becomes(harness, transport, "a", ready=0, in_flight=0, dead=3)
    assert await transport.dead_letters("a", 2) == inbox.bodies[:2]
    assert await transport.dead_letters("a", 10) == inbox.bodies
    await depth_becomes(harness, transport, "a", ready=0, dead=3)


async def test_dropping_takes_everything_with_it(harness: Harness) -> None:
    transport = await harness.connect("a", "b")
    await transport.publish([Outgoing("a", b"1"), Outgoing("a", b"2"), Outgoing("b", b"kept")])
    await transport.drop(["a"])
    await transport.drop(["a", "never-there"])
    assert sorted(await transport.depth(["a", "b"])) == ["b"]
    with pytest.raises(NoDestinationError):
        await transport.publish([Outgoing("a", b"lost")])
    await transport.declare([QueueSpec("a")])
    await depth_becomes(harness, transport, "a", ready=0, dead=0)
    await depth_becomes(harness, transport, "b", ready=1)


async def test_namespaces_do_not_see_each_other(harness: Harness) -> None:
    from asya.transports import QueueNames

    transport = await harness.connect("a")
    mine, harness.names = harness.names, QueueNames(harness.names.namespace + "x")
    other = await harness.connect("a")
    await other.publish([Outgoing("a", b"theirs")])
    await depth_becomes(harness, other, "a", ready=1)
    await depth_becomes(harness, transport, "a", ready=0)
    await other.drop(["a"])
    harness.names = mine
