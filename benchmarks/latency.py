"""Idle latency of one hop, publish to arrival, one message at a time. Run as a program, it prints one JSON object.

A process of its own on uvloop, so that nothing of the benchmark itself takes its turn in between.
"""

from __future__ import annotations

import asyncio
import base64
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop
from pamqp import commands

from benchmarks.alternatives import raw_amqp
from benchmarks.amqp import Feeder, Way
from benchmarks.hops import CountError
from benchmarks.payload import FOUND, SIZE
from benchmarks.workers import Lane

WARM_UP, PAUSE, WITHIN = 20, 0.002, 20.0


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one round."""

    p50: float
    p99: float
    samples: int


def quantiles(values: Sequence[float]) -> Latency:
    """Median and 99th percentile."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return Latency(cuts[49], cuts[98], len(values))


async def probe(lane: Lane, samples: int) -> Latency:
    """Measure on a worker that runs and has nothing to do.

    Raises:
        CountError: A message did not arrive.
    """
    way = lane.way
    asked = {
        "url": lane.url,
        "target": lane.target,
        "exchange": way.exchange,
        "key": way.key,
        "properties": way.properties,
        "body": base64.b64encode(way.bodies[SIZE]).decode(),
        "samples": samples,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.latency",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    output, said = await process.communicate(json.dumps(asked).encode())
    if process.returncode:
        raise CountError(f"latency: {said.decode().strip()[-500:]}")
    return quantiles(json.loads(output))


async def measure(asked: dict[str, object]) -> list[float]:
    """Milliseconds of each sample."""
    way = Way(
        str(asked["exchange"]),
        str(asked["key"]),
        dict(asked["properties"]),
        {SIZE: base64.b64decode(str(asked["body"]))},
    )  # type: ignore[call-overload]  # read from JSON
    url, samples = str(asked["url"]), int(str(asked["samples"]))
    loop = asyncio.get_running_loop()
    arrival: asyncio.Future[tuple[int, float]] = loop.create_future()

    def on_delivery(_: int, body: bytes) -> None:
        now = time.perf_counter()
        found = FOUND.search(body)
        arrival.set_result((int(found[1]) if found else -1, now))

    consumer = await raw_amqp.connect(url)
    consumer.on_delivery = on_delivery
    await consumer.call(commands.Basic.Consume(queue=str(asked["target"]), no_ack=True))
    publisher = await raw_amqp.connect(url, confirm=True)
    feeder = Feeder(publisher, way, SIZE)
    taken = []
    for number in range(WARM_UP + samples):
        await asyncio.sleep(PAUSE)
        arrival = loop.create_future()
        begun = time.perf_counter()
        feeder.send(number)
        async with asyncio.timeout(WITHIN):
            came, at = await arrival
        if came != number:
            raise AssertionError(f"message {came} arrived where {number} was expected")
        taken.append((at - begun) * 1000)
    await publisher.close()
    await consumer.close()
    return taken[WARM_UP:]


if __name__ == "__main__":
    print(json.dumps(uvloop.run(measure(json.load(sys.stdin)))))
