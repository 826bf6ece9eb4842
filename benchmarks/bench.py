"""The steps of a run: what is measured in which order, and where each figure is noted."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.support import mesh
from tests.support.pubsub import EmulatorUnavailableError, find

from benchmarks import curves, endurance, pods
from benchmarks.clouds import Clouds
from benchmarks.idle import Up
from benchmarks.image import own_layer
from benchmarks.judge import Samples
from benchmarks.kinds import BY_NAME, CELERY, KINDS, OURS, PUBSUB_KINDS, RAW, RAW_JSON, SQS_KINDS, Kind, rotated
from benchmarks.payload import MIB
from benchmarks.ring import WITHIN, Ring
from benchmarks.workers import PodSettings, our_environment

FAN_OUT = 100
_CPU_ROWS = ("cpu.sidecar", "cpu.runtime", "cpu.worker")
_SQS_ROWS = ("hop.sqs", "cpu.sqs", "calls.sqs", "memory.sqs")
_PUBSUB_ROWS = ("hop.pubsub", "cpu.pubsub", "memory.pubsub", "start.pubsub")


@dataclass(frozen=True)
class Scale:
    """How much is measured: rounds, messages of each step, seconds. `every`: seconds between two looks at a queue."""

    name: str
    rounds: int
    hops: int
    sqlite: int
    samples: int
    fan_out_calls: int
    payloads: int
    calls: int
    memory: int
    reconnects: int
    idle_seconds: float
    curve_hops: int
    trial_hops: int
    answers: int
    composed: int
    sqs: int
    pubsub: int
    idle_calls_seconds: float
    every: float
    idle_beside: bool = False
    """Whether `asya up` idles beside the other steps: a little noise for half a minute less."""
    without: tuple[str, ...] = ()
    """Who does not take part."""
    payload_without: tuple[str, ...] = ()
    """Who does not take part with 1 MiB."""


FULL = Scale(
    name="full",
    rounds=5,
    hops=10_000,
    sqlite=40_000,
    samples=300,
    fan_out_calls=300,
    payloads=200,
    calls=40_000,
    memory=1_000_000,
    reconnects=100,
    idle_seconds=30,
    curve_hops=6000,
    trial_hops=2000,
    answers=400,
    composed=200,
    sqs=1200,
    pubsub=6000,
    idle_calls_seconds=60,
    every=0.05,
    # Another JSON library for the raw loop would say nothing about what a large payload costs here.
    payload_without=(RAW_JSON,),
)
QUICK = Scale(
    name="quick",
    rounds=1,
    hops=1500,
    sqlite=10_000,
    samples=100,
    fan_out_calls=60,
    payloads=40,
    calls=4000,
    memory=50_000,
    reconnects=5,
    idle_seconds=30,
    curve_hops=2000,
    trial_hops=0,
    answers=100,
    composed=20,
    sqs=300,
    pubsub=2000,
    idle_calls_seconds=22,
    every=0.02,
    idle_beside=True,
    without=(RAW,),
    payload_without=(RAW, RAW_JSON, "aio-pika", "Taskiq", "Celery"),
)
"""Little enough for CI, where nobody compares the figures; a goal of kinds that did not take part is not judged."""


@dataclass(frozen=True)
class Step:
    """One thing to do: its name, the seconds it is expected to take, and what returns its figure as text."""

    name: str
    seconds: float
    run: Callable[[], Awaitable[str]]


@dataclass
class Bench:
    """Notes what the steps measure."""

    scale: Scale
    ring: Ring
    kinds: set[str]
    samples: Samples = field(default_factory=Samples)
    curves: dict[str, dict[str, list[list[float]]]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    clouds: Clouds = field(init=False)
    _up: Up | None = None

    def __post_init__(self) -> None:
        ring = self.ring
        self.clouds = Clouds(ring.python, ring.folder, ring.pods, self.samples, ring.progress)

    # -- what there is to do

    def steps(self) -> list[Step]:
        """Everything, in order; within a round the kinds take turns, in each round in another order."""
        found = [*self._before(), *self._clouds_before()]
        for number in range(self.scale.rounds):
            found += self._round(number)
        return [*found, *self._after()]

    def _before(self) -> list[Step]:
        found = [Step("queues and messages of everybody", 6, self._prepare)] if self._lanes() else []
        if self._wants("idle.50", "replica.memory"):
            found.append(Step("asya up with 50 actors", 4, self._start_up))
            if not self.scale.idle_beside:
                found.append(Step("asya up idles", self.scale.idle_seconds, self._idle))
        if self.scale.trial_hops and self._wants("hop.rabbitmq", *_CPU_ROWS, "latency", "payload"):
            found += [
                Step(f"trial of {kind.name}", 12, partial(self._trial, kind))
                for kind in KINDS
                if len(kind.variants) > 1
            ]
        return found

    def _round(self, number: int) -> list[Step]:
        order, scale, found = rotated(self._kinds, number), self.scale, list[Step]()
        if self._wants("hop.rabbitmq.quorum", *_CPU_ROWS):
            found += [
                Step(f"quorum, {kind.name}", _seconds(kind, scale.hops), partial(self._quorum, number, kind))
                for kind in order
            ]
        if self._wants("hop.rabbitmq.classic", *_CPU_ROWS, "latency"):
            found += [
                Step(
                    f"classic, {kind.name}",
                    _seconds(kind, scale.hops) + scale.samples * 0.005,
                    partial(self._classic, number, kind),
                )
                for kind in order
            ]
        if self._wants("payload.1mib"):
            taking = [kind for kind in order if kind.name not in scale.payload_without]
            found += [
                Step(f"1 MiB, {kind.name}", 1.5 + scale.payloads * 0.02, partial(self._payload, number, kind))
                for kind in taking
            ]
        if self._wants("fanout"):
            taking = [kind for kind in order if kind.name in (OURS, RAW)]
            found += [
                Step(f"fan-out, {kind.name}", 2 + scale.fan_out_calls / 60, partial(self._fan_out, number, kind))
                for kind in taking
            ]
        if self._wants("hop.sqlite"):
            found.append(Step("SQLite", 2 + scale.sqlite / 9000, partial(self._sqlite, number)))
        if self._wants("start.sidecar"):
            found.append(Step("start", 2, partial(self._start, number)))
        if self._wants("call."):
            found.append(Step("calls", 2 + scale.calls / 8000, partial(self._calls, number)))
        if self._wants("compose"):
            seconds = 4 + scale.answers * 0.015 + scale.composed * 0.04
            found.append(Step("composition function", seconds, partial(self._compose, number)))
        return found + self._clouds_round(number)

    def _clouds_before(self) -> list[Step]:
        sqs, idle = self._wants("hop.sqs", "cpu.sqs", "calls.sqs", "memory.sqs", "start.sqs"), self._wants("calls.sqs")
        pubsub = self._wants(*_PUBSUB_ROWS)
        found = list[Step]()
        if pubsub and (why := _no_emulator()):
            found.append(Step("Pub/Sub", 1, partial(_left_out, why)))
            pubsub = False
        if sqs or pubsub:
            found.append(Step("SQS and Pub/Sub", 6, partial(self.clouds.begin, sqs=sqs, pubsub=pubsub, idle=idle)))
        if self.scale.trial_hops and self._wants(*_SQS_ROWS):
            kinds = [kind for kind in SQS_KINDS if len(kind.variants) > 1]
            found += [Step(f"trial of {kind.name} on SQS", 20, partial(self._sqs_trial, kind)) for kind in kinds]
        return found

    def _clouds_round(self, number: int) -> list[Step]:
        scale, found = self.scale, list[Step]()
        if self._wants(*_SQS_ROWS):
            found += [
                Step(
                    f"SQS, {kind.name}",
                    2 + scale.sqs / (70 if kind.name == CELERY else 400),
                    partial(self.clouds.sqs, number, kind, scale.sqs),
                )
                for kind in rotated(SQS_KINDS, number)
            ]
        emulator = not _no_emulator()
        if self._wants(*(row for row in _PUBSUB_ROWS if row != "start.pubsub")) and emulator:
            found += [
                Step(
                    f"Pub/Sub, {kind.name}",
                    1.5 + scale.pubsub / 2000,
                    partial(self.clouds.pubsub, number, kind, scale.pubsub),
                )
                for kind in rotated(PUBSUB_KINDS, number)
            ]
        if self._wants("start.sqs") or (self._wants("start.pubsub") and emulator):
            found.append(Step("start on SQS and Pub/Sub", 2, partial(self.clouds.start, number)))
        return found

    def _after(self) -> list[Step]:
        scale, found = self.scale, list[Step]()
        if self._wants("calls.sqs"):
            found.append(Step("SQS, a pod that idles", 2, partial(self.clouds.end_idle, scale.idle_calls_seconds)))
        if self._wants("memory.sidecar"):
            found.append(Step("memory", 2 + scale.memory / 5000, self._memory))
        if self._wants("fds.reconnects"):
            found.append(Step("reconnects", 1 + scale.reconnects * 0.6, self._reconnects))
        for curve in curves.CURVES:
            if curve.id in self.kinds:
                found += [
                    Step(f"{curve.id} {value}", 3 + scale.curve_hops / 2500, partial(self._curve, curve, value))
                    for value in curve.values
                ]
        if self._wants("idle.50", "replica.memory") and scale.idle_beside:
            found.append(Step("asya up idles", 1, self._idle))
        if self._wants("replica.memory", "idle.50"):
            found.append(Step("a replica", 2, self._replica))
        return found

    @property
    def _kinds(self) -> tuple[Kind, ...]:
        return tuple(kind for kind in KINDS if kind.name not in self.scale.without)

    def _lanes(self) -> list[tuple[Kind, str]]:
        """Whose queues of which type will be needed."""
        wanted = [(kind, "quorum") for kind in self._kinds if self._wants("hop.rabbitmq.quorum", *_CPU_ROWS)]
        if self._wants("hop.rabbitmq.classic", *_CPU_ROWS, "latency", "payload"):
            wanted += [(kind, "classic") for kind in self._kinds]
        return wanted

    def _wants(self, *prefixes: str) -> bool:
        return any(kind.startswith(prefix) for kind in self.kinds for prefix in prefixes)

    async def close(self) -> None:
        """Stop what still runs."""
        up, self._up = self._up, None
        if up is not None:
            await up.stop()
        await self.clouds.close()

    # -- steps

    async def _prepare(self) -> str:
        await self.ring.prepare(self._lanes())
        return f"{len(self._lanes())} pairs of queues"

    async def _trial(self, kind: Kind) -> str:
        """Choose the faster way to set a framework up."""
        rates = {}
        for variant in kind.variants:
            self.ring.variants[kind.name] = variant
            done = await self.ring.round(kind, "classic", self.scale.trial_hops)
            rates[variant] = round(done.hops.rate)
        best = max(rates, key=lambda variant: rates[variant])
        self.ring.variants[kind.name] = best
        self.notes.setdefault("trials", {})[kind.name] = rates
        return f"{rates}: {best}"

    async def _sqs_trial(self, kind: Kind) -> str:
        """Choose the way to set a framework up that takes the least CPU time: moto is what limits the rate."""
        took = await self.clouds.trial(kind, self.scale.sqs // 4)
        self.notes.setdefault("trials", {})[f"{kind.name} on SQS"] = took
        return f"{took} µs CPU: {self.clouds.variants[kind.name]}"

    async def _quorum(self, number: int, kind: Kind) -> str:
        done = await self.ring.round(kind, "quorum", self.scale.hops)
        return self._note_hops(number, kind, "hop.rabbitmq.quorum", "", done.hops.rate, done.hops.cpu_us)

    async def _classic(self, number: int, kind: Kind) -> str:
        samples = self.scale.samples if self._wants("latency") else 0
        done = await self.ring.round(kind, "classic", self.scale.hops, samples=samples)
        told = self._note_hops(number, kind, "hop.rabbitmq.classic", ".classic", done.hops.rate, done.hops.cpu_us)
        if done.latency is not None:
            self.samples.add("latency.p50", number, done.latency.p50, kind.name)
            self.samples.add("latency.p99", number, done.latency.p99, kind.name)
            told += f", idle {done.latency.p50:.2f} / {done.latency.p99:.2f} ms"
        return told

    def _note_hops(self, number: int, kind: Kind, row: str, suffix: str, rate: float, cpu_us: dict[str, float]) -> str:
        whole = sum(cpu_us.values())
        self.samples.add(row, number, rate, kind.name)
        self.samples.add(f"cpu.worker{suffix}", number, whole, kind.name)
        if kind.name == OURS:
            for process, used in cpu_us.items():
                self.samples.add(f"cpu.{process}{suffix}", number, used)
        elif kind.name in (RAW, RAW_JSON):
            self.samples.add(f"cpu.sidecar{suffix}", number, whole, kind.name)
        told = " + ".join(f"{used:.0f}" for used in cpu_us.values())
        return f"{rate:,.0f} hops/s, {told} µs CPU"

    async def _payload(self, number: int, kind: Kind) -> str:
        done = await self.ring.round(kind, "classic", self.scale.payloads, size=MIB)
        self.samples.add("payload.1mib", number, done.hops.rate, kind.name)
        self.samples.add("payload.1mib.memory", number, done.peak_mib, kind.name)
        used = " + ".join(f"{each / 1000:.1f}" for each in done.hops.cpu_us.values())
        return f"{done.hops.rate:,.0f} MiB/s, {used} ms CPU, at most {done.peak_mib:,.0f} MiB"

    async def _fan_out(self, number: int, kind: Kind) -> str:
        done = await self.ring.round(kind, "quorum", self.scale.fan_out_calls, fan_out=FAN_OUT)
        self.samples.add("fanout", number, done.hops.rate, kind.name)
        return f"{done.hops.rate:,.0f} results/s"

    async def _sqlite(self, number: int) -> str:
        folder = self.ring.folder
        environ = mesh.sqlite(folder / "hops.sqlite", "bench")
        hops = await pods.hop_round(
            environ, folder / "sqlite", self.scale.sqlite, self.ring.pods, self.ring.progress, WITHIN
        )
        self.samples.add("hop.sqlite", number, hops.rate)
        self.samples.add("cpu.sidecar.sqlite", number, hops.cpu_us["sidecar"])
        return f"{hops.rate:,.0f} hops/s"

    async def _start(self, number: int) -> str:
        # A virtual host of its own: this step drops its queues, the others keep theirs.
        url = self.ring.broker.new_vhost()
        folder = self.ring.folder / "start"
        over = {
            "start.sidecar": our_environment(url, "quorum"),
            "start.sidecar.sqlite": mesh.sqlite(folder / "start.sqlite", "bench"),
        }
        told = []
        for row, environ in over.items():
            took = await pods.start_round(environ, folder, self.ring.pods)
            self.samples.add(row, number, took)
            told.append(f"{took:.0f} ms")
        return " and over SQLite ".join(told)

    async def _calls(self, number: int) -> str:
        found = await pods.call_round(sys.executable, self.scale.calls)
        for where, figures in found.items():
            for kind, value in figures.items():
                self.samples.add(f"call.{kind}", number, value, where)
        return ", ".join(f"{kind} {value:.1f} µs" for kind, value in found[OURS].items())

    async def _compose(self, number: int) -> str:
        scale = self.scale
        own = await pods.program(sys.executable, "benchmarks.composer", str(scale.answers), str(scale.composed))
        served = await pods.program(sys.executable, "benchmarks.composer_served", str(scale.answers))
        figures = {
            "compose.p50": own["few"]["p50"],
            "compose.p99": own["few"]["p99"],
            "compose.p99.many": own["many"]["p99"],
            "compose.1000": own["thousand"],
            "compose.grpc.p99": served["p99"],
            "compose.memory": served["memory"],
            "compose.start": served["start"],
        }
        if (size := own_layer("function-asya")) is not None:
            figures["compose.image"] = size
        for row, value in figures.items():
            self.samples.add(row, number, value)
        return f"{own['few']['p50']:.2f} ms, served {served['p50']:.2f} ms"

    async def _memory(self) -> str:
        lane = await self.ring.lane(BY_NAME[OURS], "quorum")
        total = self.scale.memory
        found = await endurance.memory(lane, "quorum", self.ring.folder, self.ring.pods, total, self.ring.progress)
        self.samples.add("memory.sidecar", 0, found.last)
        self.samples.add("memory.sidecar.drift", 0, found.drift(total))
        self.curves["memory.sidecar"] = {OURS: [[count, mib] for count, mib in found.points]}
        return f"{found.points[0][1]:.1f} … {found.last:.1f} MiB over {total:,} messages"

    async def _reconnects(self) -> str:
        lane = await self.ring.lane(BY_NAME[OURS], "quorum")
        times = self.scale.reconnects
        counts = await endurance.reconnects(lane, "quorum", self.ring.folder, self.ring.pods, times, self.ring.progress)
        self.samples.add("fds.reconnects", 0, max(counts[1:]) - counts[0])
        self.curves["fds.reconnects"] = {OURS: [[number, count] for number, count in enumerate(counts)]}
        return f"{counts[0]} … {counts[-1]} descriptors, at most {max(counts)}, {times} reconnects"

    async def _curve(self, curve: curves.Curve, value: int) -> str:
        rates = await curves.point(self.ring, curve, value, self.scale.curve_hops)
        for name, rate in rates.items():
            self.curves.setdefault(curve.id, {}).setdefault(name, []).append([value, rate])
        return ", ".join(f"{name} {rate:,.0f} hops/s" for name, rate in rates.items())

    async def _start_up(self) -> str:
        self._up = Up(self.ring.folder / "up")
        await self._up.start()
        return "serves"

    async def _idle(self) -> str:
        if self._up is None:
            raise RuntimeError("asya up did not start")
        found = await self._up.idle(self.scale.idle_seconds)
        self.samples.add("idle.50", 0, found.cpu_percent)
        self.samples.add("idle.50.memory", 0, found.mib)
        return f"{found.cpu_percent:.2f} % of a core over {found.seconds:.0f} s, {found.mib:.0f} MiB"

    async def _replica(self) -> str:
        if self._up is None:
            raise RuntimeError("asya up did not start")
        mib = await self._up.replica_mib()
        self.samples.add("replica.memory", 0, mib)
        await self.close()
        return f"{mib:.1f} MiB"


def _no_emulator() -> str:
    """Why there is no Pub/Sub emulator here; empty where there is one."""
    try:
        find()
    except EmulatorUnavailableError as error:
        return str(error)
    return ""


async def _left_out(why: str) -> str:
    return f"left out: {why}"


def _seconds(kind: Kind, hops: int) -> float:
    """About how long a round of a kind takes, for the time that is told to be left."""
    rates = {OURS: 5000, RAW: 10_000, RAW_JSON: 10_000, "aio-pika": 4000, "Celery": 1000}
    return 1.6 + hops / rates.get(kind.name, 2500)


def expected(steps: Sequence[Step]) -> float:
    """Seconds that all steps together are expected to take."""
    return sum(step.seconds for step in steps)


def make_ring(
    broker: Any, python: Path, folder: Path, engine: str | None, scale: Scale, progress: Callable[[float], None]
) -> Ring:
    """Put a ring together."""
    return Ring(broker, python, folder, PodSettings(engine), progress, scale.every)
