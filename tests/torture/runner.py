"""Run rows: which ones, in lanes beside each other, each with its judgement."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.torture.account import DEAD, check_broker, settle_up
from tests.torture.ends import collect, final_depths
from tests.torture.lane import Lane
from tests.torture.model import CLOUDS, ENGINES, FAST, RABBITMQ, Ends, Result, Row, UnavailableError
from tests.torture.scene import Scene


@dataclass(frozen=True)
class Size:
    """How many messages a row has, and how long it may take; `cloud_messages` where an emulator plays a cloud."""

    messages: int
    seconds: float
    cloud_messages: int

    def on(self, transport: str) -> int:
        """How many messages a row has on a transport."""
        return self.cloud_messages if transport in CLOUDS else self.messages


CI = Size(500, 60.0, 100)
LONG = Size(10_000, 600.0, 1_000)
CLOUD_LANES = 2
"""Times as many rows at a time: on clouds they mostly wait for leases to run out."""
PATIENCE = 30.0
"""Seconds beyond a row's own limit, for its start and its accounts."""


@dataclass(frozen=True)
class Job:
    """One row on one transport."""

    row: Row
    transport: str
    engine: str | None


def choose(rows: Iterable[Row], transports: Sequence[str], engines: Sequence[str], *, everything: bool) -> list[Job]:
    """Return what to run. Without `everything`, of rows that another one stands for only that one."""
    return [
        Job(row, transport, engine)
        for row in rows
        for transport in row.transports
        if transport in transports and (everything or transport not in row.long_only)
        for engine in (ENGINES if transport == RABBITMQ else (None,))
        if engine is None or (engine in engines and (engine == FAST or everything or row.aio_pika_in_ci))
    ]


def cannot_be_had(rows: Iterable[Row]) -> list[Result]:
    """Return what stands in the place of results where a row's failure cannot be made, with the reason."""
    return [
        Result(row.name, row.what, transport, engine, row.ids, absent=why)
        for row in rows
        for transport, why in row.absent.items()
        for engine in (ENGINES if transport == RABBITMQ else (None,))
    ]


async def run_all(jobs: Sequence[Job], size: Size, lanes: int, ended: Callable[[Result], None]) -> list[Result]:
    """Run all jobs, those on clouds last and in more lanes; results in the order of the jobs."""
    results: dict[int, Result] = {}

    async def work(waiting: list[tuple[int, Job]]) -> None:
        async with Lane() as lane:
            while waiting:
                number, job = waiting.pop()
                results[number] = await run(job, lane, size)
                ended(results[number])

    numbered = list(enumerate(jobs))[::-1]
    near = [each for each in numbered if each[1].transport not in CLOUDS]
    far = [each for each in numbered if each[1].transport in CLOUDS]
    for waiting, width in ((near, lanes), (far, lanes * CLOUD_LANES)):
        await asyncio.gather(*(work(waiting) for _ in range(min(width, len(waiting)))))
    return [results[number] for number in sorted(results)]


async def run(job: Job, lane: Lane, size: Size) -> Result:
    """Run one row, whatever becomes of it."""
    row = job.row
    result = Result(row.name, row.what, job.transport, job.engine, row.ids)
    began = time.monotonic()
    try:
        async with asyncio.timeout(size.seconds + PATIENCE):
            await _play(job, lane, size, result)
    except UnavailableError as error:
        result.note, result.skipped = str(error), os.environ.get("CI") != "true"
        if not result.skipped:
            result.problems.append(str(error))
    except TimeoutError:
        result.problems.append(f"it did not end within {size.seconds + PATIENCE:g} s")
    except Exception as error:  # noqa: BLE001  one row's failure is a line of the table, not the end of it
        result.problems.append(f"{type(error).__name__}: {error}")
    result.seconds = round(time.monotonic() - began, 1)
    result.ok = not result.problems and not result.skipped
    if result.problems:
        await lane.drop(job.transport)
    return result


async def _play(job: Job, lane: Lane, size: Size, result: Result) -> None:
    scene = Scene(lane, job.transport, job.engine, size.on(job.transport), size.seconds)
    async with scene:
        try:
            ends = await job.row.story(scene)
        except AssertionError as error:
            result.problems.append(f"{type(error).__name__}: {error}")
            ends = Ends(0, None)  # what is lost and what is where is still worth knowing
        copies = await collect(scene)
        result.failures = scene.control.done
        result.called_twice = sum(count - 1 for count in scene.calls().values())
        settle_up(result, scene.messages, copies, ends)
        result.note = "; ".join(filter(None, (job.row.instead.get(job.transport), result.note)))
        dead = Counter(copy.place.removeprefix(DEAD) for copy in copies if copy.place.startswith(DEAD))
        dead -= Counter(copy.place.removeprefix(DEAD) for copy in scene.taken)
        check_broker(result, await final_depths(scene, dead), dead)
