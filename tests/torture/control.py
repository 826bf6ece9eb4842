"""Decide what happens at a step of a hop: who is killed there, and how often."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

Action = Callable[[], Awaitable[None]]


@dataclass
class Plan:
    """What to do at the next arrivals at a step, and how often still."""

    step: str
    who: str
    action: Action
    left: int
    cuts: bool


class Control:
    """Answers whoever stops at a step (`pod/stops.py`), after it has done what was planned for it there.

    One thing happens at a time: while one process is being killed and started, others wait at their steps.
    """

    def __init__(self, path: Path, every: int) -> None:
        self.path, self.every = path, every
        self.done = 0
        self.failure: BaseException | None = None
        self._plans: list[Plan] = []
        self._counts: dict[tuple[str, str], int] = {}
        self._one = asyncio.Lock()
        self._now = ""
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_unix_server(self._answer, self.path)

    async def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    def plan(self, step: str, who: str, action: Action, times: int, *, cuts: bool = False) -> None:
        """Do `action` at the next `times` arrivals of actor `who` at `step`.

        `cuts`: what was seen on the wire there must not get through, for its sender or its receiver is dead.
        """
        self._plans.append(Plan(step, who, action, times, cuts))

    @property
    def outstanding(self) -> list[str]:
        """What has been planned and has not happened, or not to its end."""
        left = [f"{plan.left} × {plan.step} of {plan.who}" for plan in self._plans if plan.left]
        return [*left, *([self._now] if self._now else [])]

    async def passes(self, who: str, step: str) -> bool:
        """Count one arrival that was seen from outside (on the wire); act at each `every`-th. True: let nothing by."""
        key = (who, step)
        self._counts[key] = count = self._counts.get(key, 0) + 1
        return count % self.every == 0 and await self.reached(who, step)

    async def reached(self, who: str, step: str) -> bool:
        """Do what is planned for this step, if anything is; True when it `cuts`."""
        if self._planned(who, step) is None:
            return False  # at once: whoever asks may hold a lock that what happens just now depends on
        async with self._one:
            plan = self._planned(who, step)
            if plan is None:
                return False
            plan.left -= 1
            self._now = f"{step} of {who} under way"
            try:
                await plan.action()
            except Exception as error:  # noqa: BLE001  the row's own task raises it
                self.failure = error
            finally:
                self._now = ""
            self.done += 1
            return plan.cuts

    def _planned(self, who: str, step: str) -> Plan | None:
        return next((plan for plan in self._plans if (plan.who, plan.step) == (who, step) and plan.left), None)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            line = (await reader.readline()).decode()
            if line.endswith("\n"):  # else who asked was killed before it had said what
                who, step, _ = line.split()
                await self.reached(who, step)
                writer.write(b"\n")
                await writer.drain()
        writer.close()
