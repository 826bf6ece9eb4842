"""Rounds go on, whatever happens in one."""

from __future__ import annotations

import asyncio
import threading
from typing import cast

import pytest

from asya.operator import handlers
from asya.operator.cluster import ClusterError
from asya.operator.handlers import Worker
from asya.operator.rounds import Rounds

SOON = 10.0


class FakeRounds:
    """Fails as it is told, and counts."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.amiss = False
        self.thorough: list[bool] = []
        self.swept = 0
        self.done = threading.Event()

    def look(self, *, thoroughly: bool = False) -> bool:
        self.thorough.append(thoroughly)
        if self.failures:
            raise self.failures.pop()
        return self.amiss

    def sweep(self) -> list[str]:
        self.swept += 1
        self.done.set()
        return []


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QUIET_SECONDS", "PAUSE_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(handlers, name, 0.0)


async def test_a_failed_round_is_done_again() -> None:
    rounds = FakeRounds(KeyError("surprise"), ClusterError("away"))
    worker = Worker(cast("Rounds", rounds), resync_seconds=3600.0, now=lambda: 7.0)
    task = asyncio.create_task(worker.run())
    assert await asyncio.to_thread(rounds.done.wait, SOON)
    assert rounds.thorough == [True, True, True], "until one went well"
    assert worker.last_round == 7.0
    assert not task.done()
    task.cancel()


async def test_a_change_wakes_it_and_time_does() -> None:
    rounds = FakeRounds()
    worker = Worker(cast("Rounds", rounds), resync_seconds=0.01)
    task = asyncio.create_task(worker.run())
    async with asyncio.timeout(SOON):
        while rounds.swept < 3:
            rounds.done.clear()
            assert await asyncio.to_thread(rounds.done.wait, SOON)
    task.cancel()
    assert rounds.thorough[:3] == [True, False, False]

    rounds = FakeRounds()
    worker = Worker(cast("Rounds", rounds), resync_seconds=3600.0)
    task = asyncio.create_task(worker.run())
    assert await asyncio.to_thread(rounds.done.wait, SOON)
    async with asyncio.timeout(SOON):
        while len(rounds.thorough) < 2:
            worker.wake()
            await asyncio.sleep(0)
    task.cancel()


async def test_while_pods_are_amiss_it_looks_again_before_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "SOON_SECONDS", 0.01)
    rounds = FakeRounds()
    rounds.amiss = True
    worker = Worker(cast("Rounds", rounds), resync_seconds=3600.0)
    task = asyncio.create_task(worker.run())
    async with asyncio.timeout(SOON):
        while len(rounds.thorough) < 4:
            await asyncio.sleep(0.01)
    task.cancel()


async def test_where_nothing_helps_the_pauses_grow_to_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    real = asyncio.timeout

    def noted(seconds: float) -> asyncio.Timeout:
        pauses.append(seconds)
        return real(0.0)

    monkeypatch.setattr(asyncio, "timeout", noted)
    rounds = FakeRounds()
    rounds.amiss = True
    task = asyncio.create_task(Worker(cast("Rounds", rounds), resync_seconds=60.0).run())
    while len(pauses) < 6:
        await asyncio.sleep(0)
    task.cancel()
    assert pauses[:6] == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
