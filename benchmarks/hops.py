"""How fast one worker moves messages from a full queue to another: the same measurement for every kind of worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from benchmarks.procfs import cpu_seconds

WARM_UP = 0.1
"""Part of the messages that is not counted: imports, first connections, caches."""


@dataclass(frozen=True)
class Hops:
    """One round: hops per second, and CPU µs per hop by process name."""

    rate: float
    cpu_us: dict[str, float]
    calls: float = 0.0
    """Calls to the broker for one hop, where they are counted."""


@dataclass(frozen=True)
class _Mark:
    at: float
    arrived: int
    cpu: dict[str, float]
    calls: float


class CountError(AssertionError):
    """After a round the queues do not hold what they must: the figure would be worth nothing."""


async def measure(
    *,
    total: int,
    arrived: Callable[[], Awaitable[int]],
    left: Callable[[], Awaitable[int]],
    processes: Mapping[str, int],
    progress: Callable[[float], None],
    within: float,
    every: float = 0.05,
    calls: Callable[[], float] = lambda: 0.0,
) -> Hops:
    """Watch a worker that was just started carry `total` messages, then check the counts.

    `arrived` counts the target queue, `left` what the source still has, handed out included. The rate is taken between
    the first look after the warm-up and the last one before the end, so neither end is rounded to a poll. Looks are
    `every` seconds apart, the same for all kinds. `calls` tells how many calls the broker has had from the worker.

    Raises:
        CountError: It was not done after `within` seconds, or the counts are wrong afterwards.
    """
    deadline = time.monotonic() + within
    first = last = None
    seen = 0
    while seen < total:
        if time.monotonic() > deadline:
            raise CountError(
                f"{seen} of {total} messages arrived within {within:g} s, {await left()} left in the source"
            )
        await asyncio.sleep(every)
        # The clock is read around the count and the middle taken: the count itself costs time on a busy machine.
        before = time.monotonic()
        seen = await arrived()
        at = (before + time.monotonic()) / 2
        mark = _Mark(at, seen, {name: cpu_seconds(pid) for name, pid in processes.items()}, calls())
        progress(min(1.0, seen / total))
        if seen >= total * WARM_UP and first is None:
            first = mark
        if seen < total:
            last = mark
    await _check(total, arrived, left, deadline)
    if first is None or last is None or last.arrived <= first.arrived:
        raise CountError(f"{total} messages are too few: all moved between two looks")
    count = last.arrived - first.arrived
    return Hops(
        rate=count / (last.at - first.at),
        cpu_us={name: (last.cpu[name] - first.cpu[name]) / count * 1e6 for name in processes},
        calls=(last.calls - first.calls) / count,
    )


async def _check(
    total: int, arrived: Callable[[], Awaitable[int]], left: Callable[[], Awaitable[int]], deadline: float
) -> None:
    """The last acknowledgements may still be under way; more messages than were sent must never come."""
    while rest := await left():
        if time.monotonic() > deadline:
            raise CountError(f"{rest} messages were not settled in the source")
        await asyncio.sleep(0.05)
    if (count := await arrived()) != total:
        raise CountError(f"{count} messages in the target, {total} were sent")
