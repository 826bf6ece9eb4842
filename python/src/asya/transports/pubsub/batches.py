"""Many small requests made into few: what comes while one call is under way goes with the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from asya.errors import TransportError

T = TypeVar("T")
Then = Callable[[BaseException | None], None]
"""Hears once how something ended: None, or what went wrong."""


class Batches(Generic[T]):
    """Sends items in batches, in their order.

    When no call is under way, a batch leaves at the end of the loop's turn, so nothing waits without need; under load
    the batches fill.

    Args:
        send: Carries out one batch. It returns an outcome for each item, or raises for all of them.
        items: The most in one batch.
        size: The most in one batch, in bytes.
        calls: How many calls may be under way; 1 keeps the order at the broker too.
    """

    def __init__(
        self,
        send: Callable[[Sequence[T]], Awaitable[Sequence[BaseException | None]]],
        *,
        items: int,
        size: int,
        calls: int = 1,
    ) -> None:
        self._send, self._items, self._size, self._calls = send, items, size, calls
        self._waiting: deque[tuple[T, int, Then]] = deque()
        self._sending: set[asyncio.Task[None]] = set()
        self._asked = False

    def add(self, item: T, size: int, then: Then) -> None:
        """Send `item` (`size` in bytes) with the next batch; `then` hears how it ended."""
        self._waiting.append((item, size, then))
        if not self._asked and len(self._sending) < self._calls:
            self._asked = True
            asyncio.get_running_loop().call_soon(self._go)

    async def flush(self) -> None:
        """Wait until everything has left and was answered."""
        while self._waiting or self._sending:
            self._go()
            await asyncio.wait(tuple(self._sending))

    @property
    def busy(self) -> bool:
        """Whether anything waits or is under way."""
        return bool(self._waiting or self._sending)

    def _go(self) -> None:
        self._asked = False
        while self._waiting and len(self._sending) < self._calls:
            batch, total = [self._waiting.popleft()], 0
            total = batch[0][1]
            while self._waiting and len(batch) < self._items and total + self._waiting[0][1] <= self._size:
                total += self._waiting[0][1]
                batch.append(self._waiting.popleft())
            task = asyncio.get_running_loop().create_task(self._carry_out(batch))
            self._sending.add(task)
            task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._go()

    async def _carry_out(self, batch: Sequence[tuple[T, int, Then]]) -> None:
        outcomes: Sequence[BaseException | None]
        try:
            outcomes = await self._send([item for item, _, _ in batch])
        except TransportError as error:
            outcomes = [error] * len(batch)
        except BaseException as error:
            for _, _, then in batch:
                then(error)
            raise
        for (_, _, then), outcome in zip(batch, outcomes, strict=True):
            then(outcome)
