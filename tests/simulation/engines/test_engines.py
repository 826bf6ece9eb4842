"""Both RabbitMQ engines between a real broker and a hostile network: as many messages come out as went in.

`ASYA_TEST_ADVERSARY_SEEDS` sets how many seeds are run for each engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest
from tests.simulation.engines.adversary import Adversary

from asya.errors import ConnectionLostError, LeaseLostError, RefusedError
from asya.transports import Delivery, Outgoing, QueueNames, QueueSpec, Settle
from asya.transports.rabbitmq import RabbitmqTransport
from asya.transports.settings import RabbitmqSettings

SEEDS = int(os.environ.get("ASYA_TEST_ADVERSARY_SEEDS", "10"))
MESSAGES = 150
WITHIN, WITHIN_A_LOSS = 60.0, 10.0
"""Seconds after which what has not come is counted as lost; fewer where a loss is what is looked for."""


class Worker:
    """Moves messages from `in` to `out` over a transport; where it is told nothing, it tries again."""

    def __init__(self, transport: RabbitmqTransport, *, settle_first: bool) -> None:
        self.transport, self._settle_first = transport, settle_first
        self._hops: set[asyncio.Task[None]] = set()
        self.problems: list[BaseException] = []

    def take(self, delivery: Delivery) -> None:
        hop = asyncio.get_running_loop().create_task(self._move(delivery))
        self._hops.add(hop)
        hop.add_done_callback(self._hops.discard)

    async def _move(self, delivery: Delivery) -> None:
        out = Outgoing("out", delivery.body)
        try:
            if self._settle_first:
                await self.transport.complete(delivery, (), Settle.ACK)
                await self.transport.publish([out])
                return
            while True:
                try:
                    await self.transport.complete(delivery, [out])
                except (ConnectionLostError, RefusedError):
                    await asyncio.sleep(0.02)
                else:
                    return
        except (LeaseLostError, ConnectionLostError):
            return  # it comes again, or it was settled first
        except Exception as error:  # noqa: BLE001  no other may come out of a transport
            self.problems.append(error)

    async def end(self) -> None:
        for hop in self._hops:
            hop.cancel()
        await asyncio.gather(*self._hops, return_exceptions=True)


async def moved(url: str, engine: str, seed: int, *, settle_first: bool = False) -> tuple[set[bytes], int, int, int]:
    """Return what has arrived, how many copies there were, what is left in the first queue, and the cuts."""
    names = QueueNames(f"adversary-{engine}-{seed}-{int(settle_first)}")
    bodies = {b"%05d" % number + b"x" * (number % 7 * 400) for number in range(MESSAGES)}
    calm = RabbitmqTransport(names, RabbitmqSettings(url=url, engine=engine))
    await calm.open()
    await calm.declare([QueueSpec("in", delivery_limit=1000), QueueSpec("out")])
    await calm.publish([Outgoing("in", body) for body in sorted(bodies)])
    arrived: list[bytes] = []

    def note(delivery: Delivery) -> None:
        arrived.append(delivery.body)
        calm.complete(delivery)

    await calm.consume("out", 500, note)
    async with Adversary(url, seed) as adversary:
        worker = Worker(
            RabbitmqTransport(names, RabbitmqSettings(url=adversary.url, engine=engine)), settle_first=settle_first
        )
        await worker.transport.open()
        await worker.transport.consume("in", 20, worker.take)
        # An empty first queue says nothing: what the worker holds is in neither queue, and comes or comes back.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WITHIN_A_LOSS if settle_first else WITHIN):
                while len(set(arrived)) < MESSAGES:
                    await asyncio.sleep(0.05)
        await worker.end()
        await worker.transport.close()
    left = (await calm.depth(["in"]))["in"].ready
    await calm.drop(["in", "out"])
    await calm.close()
    assert worker.problems == []
    return set(arrived) & bodies, len(arrived), left, adversary.cuts


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("engine", ["fast", "aio-pika"])
async def test_as_many_come_out_as_went_in(rabbitmq_url: str, engine: str, seed: int) -> None:
    arrived, _, _, cuts = await moved(rabbitmq_url, engine, seed)
    assert len(arrived) == MESSAGES, f"{MESSAGES - len(arrived)} lost in {cuts} cuts"


@pytest.mark.slow
async def test_settling_before_publishing_is_found(rabbitmq_url: str) -> None:
    lost = 0
    for seed in range(10):
        arrived, _, left, _ = await moved(rabbitmq_url, "fast", seed, settle_first=True)
        lost += MESSAGES - len(arrived) - left
        if lost > 0:
            return
    pytest.fail("ten seeds, and nothing was lost by settling first")
