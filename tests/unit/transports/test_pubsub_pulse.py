"""Whether an event loop stood still, seen from inside it."""

from __future__ import annotations

import asyncio
import time

from asya.transports.pubsub.pulse import Pulse

MOST = 0.2


async def test_a_loop_that_turns_has_not_stood_still() -> None:
    stops: list[None] = []
    pulse = Pulse(60.0, lambda: stops.append(None))
    assert not pulse.stopped()
    await asyncio.sleep(0)
    assert not pulse.stopped()
    assert stops == []


async def test_it_is_told_once_until_forgiven() -> None:
    stops: list[None] = []
    pulse = Pulse(MOST, lambda: stops.append(None))
    time.sleep(MOST * 1.5)
    assert pulse.stopped(), "also when nobody has looked meanwhile"
    assert pulse.stopped()
    assert len(stops) == 1
    pulse.forgive()
    assert not pulse.stopped()
    time.sleep(MOST * 1.5)
    pulse.forgive()
    assert not pulse.stopped(), "what came before does not count"


async def test_it_looks_by_itself() -> None:
    stopped = asyncio.Event()
    pulse = Pulse(MOST, stopped.set)
    looking = asyncio.create_task(pulse.run())
    await asyncio.sleep(0)
    time.sleep(MOST * 1.5)
    async with asyncio.timeout(10.0):
        await stopped.wait()
    looking.cancel()
