"""Entries gathered into calls of up to ten.

A batch leaves at once while no other is on its way, so nothing waits when there is little to do; while calls are under
way entries gather, and leave when there are ten or when a call has ended.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

MOST: Final = 10
PARALLEL: Final = 4
"""Full batches of one kind that may be under way at once."""

T = TypeVar("T")
Outcome = BaseException | None


class _Waiting(NamedTuple, Generic[T]):
    entry: T
    size: int
    done: asyncio.Future[None]


class Batches(Generic[T]):
    """Calls of one kind to one queue. `send` says for each entry what became of it."""

    def __init__(
        self,
        send: Callable[[Sequence[T]], Awaitable[Sequence[Outcome]]],
        *,
        most_bytes: int = 1024 * 1024,
        parallel: int = PARALLEL,
    ) -> None:
        self._send, self._most_bytes, self._parallel = send, most_bytes, parallel
        self._waiting: deque[_Waiting[T]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not self._waiting and not self._tasks

    def submit(self, entry: T, size: int = 0) -> asyncio.Future[None]:
        """Have an entry sent; `size` is what it counts in bytes."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append(_Waiting(entry, size, done))
        if not self._scheduled:
            # What is submitted in the same turn of the loop goes along.
            self._scheduled = True
            loop.call_soon(self._leave)
        return done

    def _leave(self) -> None:
        self._scheduled = False
        while self._waiting and (not self._tasks or (len(self._waiting) >= MOST and len(self._tasks) < self._parallel)):
            task = asyncio.get_running_loop().create_task(self._call(self._take()))
            self._tasks.add(task)
            task.add_done_callback(self._returned)

    def _take(self) -> list[_Waiting[T]]:
        taken = [self._waiting.popleft()]
        room = self._most_bytes - taken[0].size
        while self._waiting and len(taken) < MOST and self._waiting[0].size <= room:
            taken.append(self._waiting.popleft())
            room -= taken[-1].size
        return taken

    async def _call(self, taken: Sequence[_Waiting[T]]) -> None:
        outcomes: Sequence[Outcome]
        try:
            outcomes = await self._send([each.entry for each in taken])
        except BaseException as error:  # noqa: BLE001  whoever waits has to hear of it, whatever it is
            outcomes = [error] * len(taken)
        for each, outcome in zip(taken, outcomes, strict=True):
            if each.done.done():
                continue
            if outcome is None:
                each.done.set_result(None)
            else:
                each.done.set_exception(outcome)

    def _returned(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._leave()
