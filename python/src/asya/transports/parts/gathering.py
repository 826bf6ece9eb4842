"""Calls that go together: what is asked for while one is under way leaves with the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")
R = TypeVar("R")
V = TypeVar("V")


class _Waiting(NamedTuple, Generic[T, R]):
    entry: T
    then: Callable[[R], Any]
    done: asyncio.Future[Any]


class Gathering(Generic[T, R]):
    """Sends entries, at most `most` at once and one call at a time; an idle one sends in the same turn of the loop.

    `send` returns one answer for each entry, in their order; what it raises is everybody's answer.
    """

    def __init__(self, send: Callable[[Sequence[T]], Awaitable[Sequence[R]]], most: int) -> None:
        self._send, self._most = send, most
        self._waiting: list[_Waiting[T, R]] = []
        self._task: asyncio.Task[None] | None = None

    def submit(self, entry: T, then: Callable[[R], V]) -> asyncio.Future[V]:
        """Have an entry sent; the result is what `then` makes of the answer, which it may raise about."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[V] = loop.create_future()
        self._waiting.append(_Waiting(entry, then, done))
        if self._task is None:
            self._task = loop.create_task(self._work())
        return done

    async def flush(self, seconds: float) -> None:
        """Wait for all answers, at most so long; then the rest fails with `CancelledError`."""
        task = self._task
        if task is not None:
            await asyncio.wait({task}, timeout=seconds)
            task.cancel()
            await asyncio.wait({task})
        for each in self._waiting:
            each.done.cancel()
        self._waiting.clear()

    async def _work(self) -> None:
        try:
            while self._waiting:
                taken, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                try:
                    answers = await self._send([each.entry for each in taken])
                except BaseException as error:
                    for each in taken:
                        _end(each.done, error)
                    if not isinstance(error, Exception):
                        raise
                else:
                    for each, answer in zip(taken, answers, strict=True):
                        _answer(each, answer)
        finally:
            self._task = None


def _answer(waiting: _Waiting[T, R], answer: R) -> None:
    try:
        result = waiting.then(answer)
    except Exception as error:  # noqa: BLE001  whoever waits has to hear of it, whatever it is
        _end(waiting.done, error)
    else:
        if not waiting.done.done():
            waiting.done.set_result(result)


def _end(done: asyncio.Future[Any], error: BaseException) -> None:
    if done.done():
        return
    if isinstance(error, asyncio.CancelledError):
        done.cancel()
    else:
        done.set_exception(error)
