"""What the sidecar holds while a destination does not take it: bounded by number and by bytes, and nothing is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.sidecar.conftest import NAMES, Bench

from asya.transports import Delivery
from asya.wire import decode, encode, new_envelope, raw
from asya_sidecar import loop, stream
from asya_sidecar.decide import Actor, Result
from asya_sidecar.hop import Hop
from asya_sidecar.link import Call, WorkerConnection
from asya_sidecar.stream import Stream

SETTLED = (0, 0, 0, 0)
ECHO = "def handle(p): return p"


async def _until_still(bench: Bench) -> int:
    """Wait until nothing more is received; return how many messages are held."""
    held = -1
    async with asyncio.timeout(10):
        while held != bench.loop.held or not held:
            held = bench.loop.held
            await asyncio.sleep(0.2)
    return held


async def test_messages_for_a_full_queue_are_held_up_to_a_number(bench: Bench) -> None:
    await bench.start(ASYA_PREFETCH="10")
    await bench.handler(ECHO)
    bench.broker.fill(NAMES.queue("b"))
    for index in range(300):
        await bench.send({"n": index})
    held = await _until_still(bench)
    assert held == loop.PARKED + 10
    assert await bench.counts() == (300 - held, held, 0, 0)
    bench.broker.fill(NAMES.queue("b"), False)
    assert len({envelope.id for envelope in await bench.arrives("b", 300)}) == 300
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED


async def test_a_full_queue_is_tried_by_one_message_at_a_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.start(ASYA_PREFETCH="10")
    await bench.handler(ECHO)
    bench.broker.fill(NAMES.queue("b"))
    for index in range(50):
        await bench.send({"n": index})
    await bench.until(lambda: bench.loop.waiting == 50)
    tried = 0
    complete = bench.transport.complete

    def counted(*args: Any) -> asyncio.Future[None]:
        nonlocal tried
        tried += 1
        return complete(*args)

    monkeypatch.setattr(bench.transport, "complete", counted)
    await asyncio.sleep(1.0)
    assert 1 <= tried <= 10, "one message's pauses of 0.1, 0.2, 0.4 s, and not fifty messages'"
    bench.broker.fill(NAMES.queue("b"), False)
    await bench.arrives("b", 50)
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED


async def test_large_messages_for_a_full_queue_are_held_up_to_a_number_of_bytes(bench: Bench) -> None:
    await bench.start(ASYA_PREFETCH="2", ASYA_PARKED_BYTES="1000000")
    await bench.handler(ECHO)
    bench.broker.fill(NAMES.queue("b"))
    for _ in range(40):
        await bench.send("x" * 100_000)
    held = await _until_still(bench)
    # Each is there as it came and as it goes; what is beyond the limit came for places given before it was reached.
    assert 5 <= held <= 5 + 1 + 2
    bench.broker.fill(NAMES.queue("b"), False)
    await bench.arrives("b", 40)
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED


async def test_results_of_one_call_are_bounded_in_bytes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "WINDOW_BYTES", 2_000_000)
    peaks: list[int] = []
    taken = Stream.chunk

    def chunk(self: Stream, index: int, result: object) -> None:
        taken(self, index, result)  # type: ignore[arg-type]
        peaks.append(self.pending_bytes)

    monkeypatch.setattr(Stream, "chunk", chunk)
    await bench.start()
    await bench.handler("def handle(p):\n    for i in range(100):\n        yield 'x' * 100_000")
    bench.broker.fill(NAMES.queue("b"))
    await bench.send({})
    await bench.until(lambda: peaks and peaks[-1] >= 2_000_000)
    await asyncio.sleep(0.3)
    # One read of the socket may bring a few more than were asked for.
    assert max(peaks) < 4_000_000
    bench.broker.fill(NAMES.queue("b"), False)
    assert len(await bench.arrives("b", 100)) == 100
    assert max(peaks) < 4_000_000
    await bench.until(lambda: not bench.loop.held)
    assert await bench.counts() == SETTLED


async def test_a_result_that_meets_an_error_of_ours_holds_no_slot(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.start(ASYA_CONCURRENCY="1")
    await bench.handler("def handle(p):\n    for i in range(p):\n        yield i")

    async def broken(*_: object) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr(bench.carrier, "publish_again", broken)
    bench.broker.fill(NAMES.queue("b"))
    await bench.send(250)
    dead = bench.broker.queues[NAMES.queue("me")].dead
    await bench.until(lambda: dead and not bench.loop.held)
    assert (bench.loop.active, bench.loop.waiting) == (0, 0)
    bench.broker.fill(NAMES.queue("b"), False)
    await bench.send(1)
    await bench.arrives("b")
    assert await bench.counts() == (0, 0, 0, 1)


async def test_a_call_that_was_begun_anew_is_slowed_down_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "WINDOW", 10)
    await bench.start()
    bench.broker.fill(NAMES.queue("b"))
    described = Actor(name="me")
    delivery = Delivery(encode(new_envelope(["me", "b"], raw({}), now=1.0)), "me", None)
    hop = Hop(bench.loop._passage, delivery, 0.0)
    hop.envelope = decode(delivery.body)
    hop.call = Call(b"", b"", 1.0, hop)
    made = Stream(hop, described, bench.carrier, None, None, None)
    gone, new = (WorkerConnection(bench.link, asyncio.get_running_loop()) for _ in range(2))
    hop.call.worker = gone
    for index in range(1, 13):
        made.chunk(index, Result(b"", b"1"))
    assert gone._paused == 1
    hop.call.start_over()
    hop.call.worker = new
    made.chunk(1, Result(b"", b"1"))
    assert (gone._paused, new._paused) == (0, 1)
    made.abandon()
