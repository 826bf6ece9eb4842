"""Steps on SQS and Pub/Sub: the same hop as on RabbitMQ, beside a plain loop and those who speak to these brokers."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Protocol

from tests.support.processes import until
from tests.support.pubsub import Emulator

from benchmarks import cloud_pubsub, cloud_sqs, pods
from benchmarks.amqp import Arrived
from benchmarks.cloud_pubsub import PubsubPlace
from benchmarks.cloud_sqs import SqsPlace
from benchmarks.hops import CountError, Hops, measure
from benchmarks.judge import Samples
from benchmarks.kinds import OURS, Kind
from benchmarks.procfs import peak_mib, tree
from benchmarks.sqs_server import SqsServer
from benchmarks.workers import Ours, PodSettings, Worker, open_ours

WITHIN = 120.0


class Place(Protocol):
    """Where one round of one worker takes place."""

    async def prepare(self, total: int) -> None:
        """Fill the source."""

    def worker(self, variant: str) -> Worker:
        """Return the worker, not started."""

    def calls(self) -> float:
        """Calls that the worker has made."""

    async def arrived(self) -> int:
        """Messages in the target so far."""

    async def left(self) -> int:
        """Messages that are not settled in the source."""

    async def drain(self) -> Arrived:
        """What the target holds."""


class Clouds:
    """Servers that are started when the first step needs them, and rounds on them."""

    def __init__(
        self, python: Path, folder: Path, settings: PodSettings, samples: Samples, progress: Callable[[float], None]
    ) -> None:
        self._python, self._folder, self._pods = python, folder, settings
        self._samples, self._progress = samples, progress
        self._stack = ExitStack()
        self._sqs: SqsServer | None = None
        self._pubsub: Emulator | None = None
        self._idle: AsyncExitStack | None = None
        self._idle_since = 0.0
        self.variants: dict[str, str] = {}

    async def begin(self, *, sqs: bool, pubsub: bool, idle: bool) -> str:
        """Start the servers that are asked for, and a pod on SQS that has nothing to do."""
        # From now on this process has credentials for moto, too.
        os.environ.update(cloud_sqs.CREDENTIALS)
        starting = []
        if sqs:
            starting.append(self._start_sqs())
        if pubsub:
            starting.append(self._start_pubsub())
        if idle:
            starting.append(self._begin_idle())
        await asyncio.gather(*starting)
        return f"{len(starting)} started"

    async def _start_sqs(self) -> None:
        self._sqs = await asyncio.to_thread(self._stack.enter_context, SqsServer())

    async def _start_pubsub(self) -> None:
        self._pubsub = await asyncio.to_thread(self._stack.enter_context, Emulator())

    async def close(self) -> None:
        """Stop everything that still runs."""
        idle, self._idle = self._idle, None
        if idle is not None:
            await idle.aclose()
        await asyncio.to_thread(self._stack.close)

    async def sqs(self, number: int, kind: Kind, total: int) -> str:
        """One round on SQS."""
        place = SqsPlace(self._moto(), kind, self._python, self._folder, self._pods)
        hops, peak = await self._round(place, kind, total)
        self._samples.add("calls.sqs", number, hops.calls, kind.name)
        return self._note("sqs", number, kind, hops, peak) + f", {hops.calls:.2f} calls for a message"

    async def pubsub(self, number: int, kind: Kind, total: int) -> str:
        """One round on Pub/Sub."""
        place = PubsubPlace(self._emulator().endpoint, kind, self._python, self._folder, self._pods)
        hops, peak = await self._round(place, kind, total)
        return self._note("pubsub", number, kind, hops, peak)

    async def trial(self, kind: Kind, total: int) -> dict[str, int]:
        """Choose the way to set a kind up that takes the least CPU on SQS; return what each took, in µs for a hop."""
        took = {}
        for variant in kind.variants:
            self.variants[kind.name] = variant
            place = SqsPlace(self._moto(), kind, self._python, self._folder, self._pods)
            hops, _ = await self._round(place, kind, total)
            took[variant] = round(sum(hops.cpu_us.values()))
        self.variants[kind.name] = min(took, key=lambda variant: took[variant])
        return took

    async def start(self, number: int) -> str:
        """From the exec of a sidecar to its handler's first call, on each that runs."""
        environs = {}
        if self._sqs is not None:
            environs["sqs"] = cloud_sqs.environment(self._sqs, f"start{number}")
        if self._pubsub is not None:
            environs["pubsub"] = cloud_pubsub.environment(self._pubsub.endpoint, f"start{number}")
        told = []
        for broker, environ in environs.items():
            took = await pods.start_round(environ, self._folder / f"start-{broker}", self._pods)
            self._samples.add(f"start.{broker}", number, took)
            told.append(f"{broker} {took:.0f} ms")
        return ", ".join(told)

    async def _begin_idle(self) -> None:
        """On a server of its own, where nobody else's calls are counted."""
        self._idle = AsyncExitStack()
        self._idle_server = await asyncio.to_thread(self._idle.enter_context, SqsServer())
        environ = cloud_sqs.environment(self._idle_server, "idle", wait="20s")
        transport = await open_ours(environ)
        await transport.close()
        pod = Ours(environ, self._folder / "idle", self._pods).pod
        await pod.start()
        # It would wait for the answer to its last question, up to 20 s.
        self._idle.push_async_callback(pod.stop, 0.5)

        def polls() -> bool:
            return bool(self._idle_server.calls()["ReceiveMessage"])

        await until(polls, within=30, what="the idle pod's first question", every=0.1)
        self._idle_before, self._idle_since = self._idle_server.calls().total(), time.monotonic()

    async def end_idle(self, seconds: float) -> str:
        """Tell how many calls it made in a second, over at least `seconds`."""
        await asyncio.sleep(max(0.0, self._idle_since + seconds - time.monotonic()))
        count = self._idle_server.calls().total() - self._idle_before
        if not count:
            raise CountError("an idle pod asked for nothing at all")
        taken = time.monotonic() - self._idle_since
        self._samples.add("calls.sqs.idle", 0, count / taken)
        assert self._idle is not None
        idle, self._idle = self._idle, None
        await idle.aclose()
        return f"{count} calls in {taken:.0f} s"

    async def _round(self, place: Place, kind: Kind, total: int) -> tuple[Hops, float]:
        await place.prepare(total)
        worker = place.worker(self.variants.get(kind.name, kind.variants[0]))
        await worker.start()

        async def arrived() -> int:
            worker.pids()  # raises when one has ended
            return await place.arrived()

        try:
            hops = await measure(
                total=total, arrived=arrived, left=place.left, processes=worker.pids(), progress=self._progress,
                within=WITHIN, every=0.05, calls=place.calls,
            )  # fmt: skip
            pids = worker.pids()
            peak = max(peak_mib(pid) for pid in ([pids["sidecar"]] if kind.name == OURS else tree(pids["worker"])))
        except (CountError, ProcessLookupError) as error:
            raise CountError(f"{kind.name}: {error}\n{worker.tail()}") from None
        finally:
            await worker.stop()
        if left := await place.left():
            raise CountError(f"{kind.name}: {left} messages were not settled")
        (await place.drain()).check(total)
        return hops, peak

    def _note(self, broker: str, number: int, kind: Kind, hops: Hops, peak: float) -> str:
        self._samples.add(f"hop.{broker}", number, hops.rate, kind.name)
        self._samples.add(f"cpu.{broker}", number, sum(hops.cpu_us.values()), kind.name)
        self._samples.add(f"memory.{broker}", number, peak, kind.name)
        used = " + ".join(f"{each:.0f}" for each in hops.cpu_us.values())
        return f"{hops.rate:,.0f} hops/s, {used} µs CPU, at most {peak:.0f} MiB"

    def _moto(self) -> SqsServer:
        if self._sqs is None:
            raise RuntimeError("moto did not start")
        return self._sqs

    def _emulator(self) -> Emulator:
        if self._pubsub is None:
            raise RuntimeError("the Pub/Sub emulator did not start")
        return self._pubsub
