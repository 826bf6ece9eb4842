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
from tests.torture.model import CLOUDS, Ends, NotInstalledError, Result, Row, UnavailableError, engines, places
from tests.torture.scene import Scene


@dataclass(frozen=True)
class Size:
    """How many messages a row has, and how long nothing may move; `cloud_messages` where an emulator plays a cloud."""

    messages: int
    seconds: float
    cloud_messages: int

    def on(self, transport: str) -> int:
        """How many messages a row has on a transport."""
        return self.cloud_messages if transport in CLOUDS else self.messages


CI = Size(500, 90.0, 100)
LONG = Size(10_000, 180.0, 500)
CLOUD_LANES = 3
"""Times as many rows at a time: on clouds they mostly wait for leases to run out."""
LIMITS = 10
"""Times as long as nothing may move: no row takes longer, whatever moves."""


@dataclass(frozen=True)
class Job:
    """One row on one transport."""

    row: Row
    transport: str
    engine: str | None


def choose(
    rows: Iterable[Row], transports: Sequence[str], wanted: Sequence[str | None] | None = None, *, everything: bool
) -> list[Job]:
    """Return what to run, of several engines only `wanted` ones. Without `everything`: what no other row stands for."""
    return [
        Job(row, transport, engine)
        for row in rows
        for transport, engine in places()
        if transport in transports and not row.why_not(transport, engine)
        if engine is None or wanted is None or engine in wanted
        if everything or _in_ci(row, transport, engine)
    ]


def _in_ci(row: Row, transport: str, engine: str | None) -> bool:
    if engine == engines(transport)[0]:
        return transport not in row.long_only
    return transport in row.second_in_ci


def cannot_be_had(rows: Iterable[Row]) -> list[Result]:
    """Return what stands in the place of results where a row's failure cannot be made, with the reason."""
    return [
        Result(row.name, row.what, transport, engine, row.ids, absent=why)
        for row in rows
        for transport, engine in places()
        if (why := row.why_not(transport, engine))
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
        async with asyncio.timeout(size.seconds * LIMITS):
            await _play(job, lane, size, result)
    except UnavailableError as error:
        result.note = str(error)
        result.skipped = isinstance(error, NotInstalledError) or os.environ.get("CI") != "true"
        if not result.skipped:
            result.problems.append(str(error))
    except TimeoutError:
        result.problems.append(f"it did not end within {size.seconds * LIMITS:g} s")
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
        settle_up(result, scene.messages, copies, ends, scene.in_doubt())
        result.note = "; ".join(filter(None, (job.row.instead.get(job.transport), result.note)))
        dead = Counter(copy.place.removeprefix(DEAD) for copy in copies if copy.place.startswith(DEAD))
        dead -= Counter(copy.place.removeprefix(DEAD) for copy in scene.taken)
        check_broker(result, await final_depths(scene, dead), dead)
