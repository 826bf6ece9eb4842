"""Cost curves: how many hops per second our pods make when one thing is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from benchmarks import workers
from benchmarks.amqp import Queues
from benchmarks.hops import measure
from benchmarks.kinds import BY_NAME, OURS, RAW
from benchmarks.payload import MIB, SIZE, text
from benchmarks.ring import SIZES, WITHIN, Ring
from benchmarks.workers import Ours

_OURS, _RAW = BY_NAME[OURS], BY_NAME[RAW]
_QUEUES = "quorum"


@dataclass(frozen=True)
class Curve:
    """What is changed, through which values, and how the axis is called."""

    id: str
    title: str
    axis: str
    values: tuple[int, ...]


CURVES = (
    Curve("curve.payload", "Hop rate against payload size", "payload, bytes", SIZES),
    Curve("curve.actors", "Hop rate of all actors against their number", "actors on this machine", (1, 2, 4, 8)),
    Curve("curve.prefetch", "Hop rate against prefetch", "messages held at once", (1, 3, 10, 30, 100, 300)),
    Curve("curve.concurrency", "Hop rate against concurrency", "calls under way at once", (1, 3, 10, 30, 100)),
)


async def point(ring: Ring, curve: Curve, value: int, hops: int) -> Mapping[str, float]:
    """Measure one point: hops per second by name."""
    match curve.id:
        case "curve.payload":
            total = min(hops, max(100, 256 * MIB // value))
            return {kind.name: (await ring.round(kind, _QUEUES, total, size=value)).hops.rate for kind in (_OURS, _RAW)}
        case "curve.actors":
            return {OURS: await _several(ring, value, hops // value)}
        case "curve.prefetch":
            # No more calls at once than messages are held.
            pods = replace(ring.pods, prefetch=value, concurrency=min(value, ring.pods.concurrency))
        case _:
            pods = replace(ring.pods, concurrency=value)
    total = hops if value >= 10 else hops // 4
    return {OURS: (await ring.round(_OURS, _QUEUES, total, pods=pods)).hops.rate}


async def _several(ring: Ring, count: int, each: int) -> float:
    """Hops per second of `count` pods together, each of an actor of its own with `each` messages."""
    url = (await ring.lane(_OURS, _QUEUES)).url
    names = [f"several-{number}" for number in range(count)]
    lanes = [await workers.prepare_ours(url, _QUEUES, (SIZE,), name) for name in names]
    environ = workers.our_environment(url, _QUEUES)
    pods = [Ours(environ, ring.folder / "several", ring.pods, actor=name) for name in names]
    async with Queues(url) as queues:
        for lane in lanes:
            await queues.fill(lane.way, SIZE, each)

        async def left() -> int:
            return sum([await queues.ready(lane.source) for lane in lanes])

        try:
            for pod in pods:
                await pod.start()
            done = await measure(
                total=each * count,
                arrived=lambda: queues.ready(lanes[0].target),
                left=left,
                processes={},
                progress=ring.progress,
                within=WITHIN,
                every=ring.every,
            )
            arrived = await queues.drain(lanes[0].target, each * count, text(SIZE), WITHIN)
        finally:
            for pod in pods:
                await pod.stop()
        # Every actor was sent the same numbers.
        arrived.check(each, count)
    return done.rate
