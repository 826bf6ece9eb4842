"""Publishing that does not succeed: what is waited for, what goes to the sump, what stays where it is."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.unit.sidecar.conftest import NAMES, Bench

from asya.errors import NoDestinationError, TooLargeError, TransportError
from asya.transports import Delivery, Outgoing, QueueSpec, Settle
from asya.wire import encode, new_envelope, raw
from asya_sidecar.carry import Carrier
from asya_sidecar.decide import Actor, Decision

SETTLED = (0, 0, 0, 0)
ECHO = "def handle(p): return p"


async def test_a_broker_that_refuses_is_waited_for_and_nothing_more_is_received(bench: Bench) -> None:
    await bench.start()
    await bench.handler(ECHO)
    await bench.send({"n": 0})
    await bench.arrives("b")
    for index in range(3):
        await bench.send({"n": index})
    bench.broker.refuse("memory alarm")
    await bench.until(lambda: "the broker does not take messages" in bench.loop.problems())
    held = bench.loop.held
    assert await bench.counts() == (3 - held, held, 0, 0), "kept, not settled; the rest was not received"
    bench.broker.refuse(None)
    await bench.arrives("b", 4)
    await bench.until(lambda: not bench.loop.problems())
    assert await bench.counts() == SETTLED


async def test_a_lost_confirmation_is_published_again_under_the_same_id(bench: Bench) -> None:
    bench.broker.atomic = False
    await bench.start()
    await bench.handler(ECHO)
    sent = await bench.send({"n": 1})
    bench.broker.lose_confirmations(1)
    await bench.arrives("b", 2)
    assert {envelope.id for envelope in bench.inside("b")} == {sent}
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED


async def test_a_missing_destination_is_waited_for_while_others_go_on(bench: Bench) -> None:
    await bench.start(destination_wait=30.0)
    await bench.handler(ECHO)
    await bench.send({"n": 1}, "me", "later")
    await bench.until(lambda: bench.loop.waiting)
    await bench.send({"n": 2}, "me", "b")
    await bench.arrives("b")
    assert await bench.counts() == (0, 1, 0, 0)
    await bench.transport.declare([QueueSpec("later")])
    await bench.arrives("later")
    await bench.until(lambda: not bench.loop.waiting)
    assert await bench.counts() == SETTLED


async def test_a_destination_that_never_comes_is_named_in_the_sump(bench: Bench) -> None:
    await bench.start(destination_wait=0.2)
    await bench.handler(ECHO)
    await bench.send({"n": 1}, "me", "typo")
    (sunk,) = await bench.arrives("x-sump")
    assert sunk.status is not None
    assert sunk.status.error is not None
    assert (sunk.status.phase, sunk.status.reason) == ("failed", "UnknownActor")
    assert "'typo'" in sunk.status.error.message
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED


async def test_without_sink_and_sump_the_message_is_kept_and_released_at_exit(bench: Bench) -> None:
    await bench.start(destination_wait=0.1, queues=("me",))
    await bench.handler(ECHO)
    await bench.send({"n": 1}, "me")
    await bench.until(lambda: any("x-sump" in problem for problem in bench.loop.problems()))
    assert await bench.counts() == (0, 1, 0, 0)
    await bench.loop.drain(0.1)
    assert await bench.counts() == (1, 0, 0, 0)


async def test_an_oversize_result_goes_to_the_sump_with_its_input(bench: Bench) -> None:
    bench.message_bytes = 4096
    await bench.start()
    await bench.handler("def handle(p): return {'big': 'x' * 10000}")
    await bench.send({"small": 1})
    (sunk,) = await bench.arrives("x-sump")
    assert sunk.status is not None
    assert sunk.status.error is not None
    assert sunk.status.reason == "TooLarge"
    assert "4096" in sunk.status.error.message
    assert json.loads(bytes(sunk.payload)) == {"small": 1}
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED


async def test_too_large_even_for_the_sump_stays_in_the_dead_letters(bench: Bench) -> None:
    await bench.start()
    await bench.handler("def handle(p): return p + p")
    body = encode(new_envelope(["me", "b"], raw("x" * 3000), now=1.0))
    await bench.transport.publish([Outgoing("me", body)])
    await bench.arrives("b")
    bench.transport.limits = type(bench.transport.limits)(message_bytes=len(body) + 20)
    await bench.transport.publish([Outgoing("me", body)])
    queue = bench.broker.queues[NAMES.queue("me")]
    await bench.until(lambda: queue.dead)
    assert [(message.body, message.reason) for message in queue.dead] == [(body, "too-large")]


async def test_children_wait_for_a_missing_destination_too(bench: Bench) -> None:
    await bench.start(destination_wait=0.2)
    await bench.handler("def handle(p):\n    for i in range(3):\n        yield i")
    await bench.send({}, "me", "typo")
    sunk = await bench.arrives("x-sump", 3)
    assert sorted(json.loads(bytes(envelope.payload)) for envelope in sunk) == [0, 1, 2]
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED


async def test_bytes_that_are_no_envelope_go_to_the_sump(bench: Bench) -> None:
    await bench.start()
    await bench.handler(ECHO)
    await bench.transport.publish([Outgoing("me", b"\xffnot an envelope")])
    (sunk,) = await bench.arrives("x-sump")
    assert sunk.status is not None
    assert sunk.status.reason == "ParseError"
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED


@pytest.mark.parametrize("actor", ["me", "x-sump"])
@pytest.mark.parametrize("kind", [NoDestinationError, TooLargeError])
async def test_what_cannot_be_dead_lettered_yet_is_kept_and_not_acknowledged(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, actor: str, kind: type[TransportError]
) -> None:
    await bench.start(destination_wait=0.1)
    described = Actor(name=actor)
    carrier = Carrier(bench.transport, described, destination_wait=0.1, block=bench.loop.block)
    error = (
        NoDestinationError(actor=actor, queue="asya_d_gone_dlq")
        if kind is NoDestinationError
        else TooLargeError(actor=actor, size=2, limit=1)
    )
    settled: list[tuple[Settle, str]] = []
    failures = [error] * 3

    def complete(
        _delivery: object, _messages: object = (), settle: Settle = Settle.ACK, reason: str = ""
    ) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if failures:
            done.set_exception(failures.pop())
        else:
            settled.append((settle, reason))
            done.set_result(None)
        return done

    monkeypatch.setattr(bench.transport, "complete", complete)
    envelope = new_envelope([actor], raw({}), now=1.0)
    delivery = Delivery(encode(envelope), actor, None)
    decision = Decision(row="sump-failed", settle=Settle.DEAD_LETTER)
    async with asyncio.timeout(10):
        carried = asyncio.ensure_future(carrier.complete_again(delivery, envelope, decision, error))
        await bench.until(lambda: any("dead letters" in problem for problem in bench.loop.problems()) or carried.done())
        await carried
    assert settled == [(Settle.DEAD_LETTER, "sump-failed")], "never acknowledged with nothing in its place"
    assert not [problem for problem in bench.loop.problems() if "dead letters" in problem]
