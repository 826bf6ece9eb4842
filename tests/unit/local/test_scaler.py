"""Queues are looked at together: what fifty idle actors cost must not be fifty times what one costs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from asya.errors import ConnectionLostError
from asya.local.autoscale import Scaling
from asya.local.console import Console
from asya.local.plan import ActorPlan
from asya.local.pool import Pool
from asya.local.replica import Replica
from asya.local.scaler import Scaler
from asya.local.tally import Tally
from asya.local.writer import TaskStore
from asya.transports import Depth, QueueSpec, Transport


class FakeQueues:
    """A transport that only tells depths, and counts how often it was asked for which queues."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.ready: dict[str, int] = {}
        self.failing = False
        self.changed = asyncio.Condition()

    async def depth(self, actors: Sequence[str]) -> dict[str, Depth]:
        async with self.changed:
            self.asked.append(list(actors))
            self.changed.notify_all()
        if self.failing:
            raise ConnectionLostError("away")
        return {name: Depth(self.ready.get(name, 0), 0, 0, 0) for name in actors if name != "gone"}

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5), self.changed:
            await self.changed.wait_for(condition)


class FakeReplica:
    ready, draining, failing, reason = True, False, False, ""

    def __init__(self, number: int) -> None:
        self.number = number


def pool(name: str, interval: float) -> Pool:
    scaling = Scaling(polling_interval=interval)
    plan = ActorPlan(
        name=name,
        handler="m.f",
        python="python",
        scaling=scaling,
        queue=QueueSpec(name),
        grace_seconds=1.0,
        sidecar_env={},
        runtime_env={},
    )
    return Pool(plan, lambda number: cast("Replica", FakeReplica(number)), lambda: None, now=0.0)


@pytest.fixture
async def store(tmp_path: Path) -> Any:
    opened = TaskStore(tmp_path / "tasks.db")
    yield opened
    await opened.close()


async def test_actors_with_the_same_interval_share_each_look(
    store: TaskStore, capsys: pytest.CaptureFixture[str]
) -> None:
    queues, looks = FakeQueues(), list[int]()
    console = Console(colour=False, as_json=True, level="info")
    scaler = Scaler(cast("Transport", queues), store, console, Tally(), lambda: looks.append(1))
    often, names = [pool(f"a{number:02}", 0.01) for number in range(50)], [f"a{number:02}" for number in range(50)]
    seldom = [pool("slow", 60.0), pool("gone", 60.0)]
    queues.ready["a07"] = 1
    loops = scaler.loops([*often, *seldom])
    assert len(loops) == 2
    tasks = [asyncio.create_task(loop) for loop in loops.values()]
    try:
        await queues.until(lambda: queues.asked.count(names) >= 3)
        assert queues.asked.count(["slow", "gone"]) == 1
        assert [each.desired for each in often] == [int(name == "a07") for name in names]
        assert len(often[7].live) == 1
        assert len(looks) >= 3
        assert "a07: 0 → 1 replicas (backlog 1)" in capsys.readouterr().out

        # The number of replicas stays while queues cannot be read, and scaling goes on afterwards.
        queues.failing = True
        asked = len(queues.asked)
        await queues.until(lambda: len(queues.asked) >= asked + 2)
        assert len(often[7].live) == 1
        queues.failing, queues.ready["a08"] = False, 1
        asked = len(queues.asked)
        await queues.until(lambda: len(queues.asked) >= asked + 3)
        assert len(often[8].live) == 1
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
