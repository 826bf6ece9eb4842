"""One broker for the whole run, a virtual host for each kind and queue type, and rounds of a worker on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.rabbitmq import Broker

from benchmarks import workers
from benchmarks.amqp import Queues
from benchmarks.hops import CountError, Hops, measure
from benchmarks.kinds import OURS, Kind
from benchmarks.latency import Latency, probe
from benchmarks.payload import MIB, SIZE, text
from benchmarks.procfs import peak_mib, tree
from benchmarks.workers import Lane, Ours, PodSettings, Theirs, Worker

WITHIN = 120.0
"""Seconds after which a round that does not finish counts as failed."""
SIZES = (SIZE, 4 * 1024, 64 * 1024, MIB)


@dataclass(frozen=True)
class Round:
    """What one round of a worker gave; `peak_mib` is of the process that talks to the broker."""

    hops: Hops
    peak_mib: float
    latency: Latency | None = None


@dataclass
class Ring:
    """Where rounds take place."""

    broker: Broker
    python: Path
    folder: Path
    pods: PodSettings
    progress: Callable[[float], None]
    every: float
    variants: dict[str, str] = field(default_factory=dict)
    """By kind, what the trial has chosen."""
    _lanes: dict[tuple[str, str], Lane] = field(default_factory=dict)

    async def prepare(self, wanted: Iterable[tuple[Kind, str]]) -> None:
        """Have several lanes made, two at a time: most of it is waiting for a framework to be imported."""
        slots = asyncio.Semaphore(2)

        async def make(kind: Kind, queue_type: str) -> None:
            async with slots:
                await self.lane(kind, queue_type)

        await asyncio.gather(*(make(kind, queue_type) for kind, queue_type in wanted))

    async def lane(self, kind: Kind, queue_type: str) -> Lane:
        """Have the kind's queues made, once for the whole run; after each round they are empty again."""
        key = kind.name, queue_type
        if key not in self._lanes:
            url = self.broker.new_vhost()
            if kind.script is None:
                self._lanes[key] = await workers.prepare_ours(url, queue_type, SIZES)
            else:
                self._lanes[key] = await workers.prepare_theirs(kind, url, queue_type, SIZES, self.python)
        return self._lanes[key]

    def variant(self, kind: Kind) -> str:
        return self.variants.get(kind.name, kind.variants[0])

    def worker(
        self, kind: Kind, lane: Lane, queue_type: str, *, handler: str = "noop.handle", pods: PodSettings | None = None,
        **more: str,
    ) -> Worker:  # fmt: skip
        if kind.name == OURS:
            environ = workers.our_environment(lane.url, queue_type)
            return Ours(environ, self.folder / queue_type, pods or self.pods, handler, **more)
        return Theirs(kind, lane, queue_type, self.variant(kind), self.python, self.folder, **more)

    async def round(
        self, kind: Kind, queue_type: str, total: int, *,
        size: int = SIZE, samples: int = 0, fan_out: int = 1, pods: PodSettings | None = None,
    ) -> Round:  # fmt: skip
        """Fill the source queue, start the worker, measure, and look at every message that arrived.

        With `samples`, idle latency is measured afterwards on the same worker.

        Raises:
            CountError: A message is lost, came twice, or is not what was sent; or it took too long.
        """
        lane = await self.lane(kind, queue_type)
        more = {} if fan_out == 1 else {"BENCH_FAN_OUT": str(fan_out)}
        handler = "noop.handle" if fan_out == 1 else "fan.handle"
        worker = self.worker(kind, lane, queue_type, handler=handler, pods=pods, **more)
        async with Queues(lane.url) as queues:
            for name in (lane.source, lane.target):  # only a round that failed leaves something behind
                await queues.purge(name)
            await queues.fill(lane.way, size, total)
            await worker.start()

            async def arrived_so_far() -> int:
                worker.pids()  # raises when one has ended
                return await queues.ready(lane.target)

            try:
                hops = await measure(
                    total=total * fan_out,
                    arrived=arrived_so_far,
                    left=lambda: queues.ready(lane.source),
                    processes=worker.pids(),
                    progress=self.progress,
                    within=WITHIN,
                    every=self.every,
                )
                peak = max(peak_mib(pid) for pid in _talking(worker))
                arrived = await queues.drain(lane.target, total * fan_out, text(size), WITHIN)
                arrived.check(total, fan_out)
                latency = await probe(lane, samples) if samples else None
            except (CountError, ProcessLookupError) as error:
                raise CountError(f"{kind.name}: {error}\n{worker.tail()}") from None
            finally:
                await worker.stop()
            # What was not acknowledged is back in its queue now.
            counts = await queues.ready(lane.source), await queues.ready(lane.target)
            if counts != (0, 0):
                raise CountError(f"{kind.name}: {counts[0]} messages were not settled, {counts[1]} came too many")
        return Round(hops, peak, latency)


def _talking(worker: Worker) -> list[int]:
    """Ids of the processes through which messages pass to and from the broker."""
    pids = worker.pids()
    return [pids["sidecar"]] if "sidecar" in pids else tree(pids["worker"])
