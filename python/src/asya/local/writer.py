"""The task store behind two threads: many changes share one commit, and whoever waits on a task is woken after it.

A commit waits for the disk (milliseconds); with one commit per report the store would be slower than the mesh it
watches. Reads have a connection and a thread of their own (WAL), so that a pre-flight question waits for no commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from asya.local.problems import ApiError
from asya.local.schema import connect, connect_reader
from asya.local.tasks import Tasks

T = TypeVar("T")


@dataclass(slots=True)
class _Job:
    work: Callable[[Tasks], list[str]]
    done: asyncio.Future[list[str]]


class TaskStore:
    """The task store for use on one event loop. Every future is done when its change is durable."""

    def __init__(self, path: Path) -> None:
        self._db = connect(path)
        self._tasks = Tasks(self._db)
        self._reader = connect_reader(path)
        self._writing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="task-store-writes")
        self._reading = ThreadPoolExecutor(max_workers=1, thread_name_prefix="task-store-reads")
        self._waiting: list[_Job] = []
        self._flusher: asyncio.Task[None] | None = None
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self.stopping = False

    def change(self, work: Callable[[Tasks], list[str]]) -> asyncio.Future[list[str]]:
        """Run `work` in the next transaction; gives the ids of the tasks that have news.

        The future fails with the `ApiError` that `work` raised; that touches no other work of the same transaction.
        """
        job = _Job(work, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())
        return job.done

    def read(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Run `work` on one snapshot of the store; it holds every change whose future is done."""
        return asyncio.get_running_loop().run_in_executor(self._reading, self._snapshot, work)

    @contextlib.contextmanager
    def watch(self, task_id: str) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever the task's log has grown."""
        news = asyncio.Event()
        self._watchers.setdefault(task_id, set()).add(news)
        try:
            yield news
        finally:
            watchers = self._watchers[task_id]
            watchers.discard(news)
            if not watchers:
                del self._watchers[task_id]

    def stop_watching(self) -> None:
        """Wake everybody who watches a task, now and from now on; `stopping` tells them why."""
        self.stopping = True
        for watchers in self._watchers.values():
            for news in watchers:
                news.set()

    async def close(self) -> None:
        """Finish what was asked for and close the file. Idempotent."""
        while self._flusher is not None:
            await asyncio.wait([self._flusher])
        for thread in (self._writing, self._reading):
            thread.shutdown()
        self._reader.close()
        self._db.close()

    def _snapshot(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._reader.execute("BEGIN")
        try:
            return work(self._reader)
        finally:
            self._reader.execute("COMMIT")

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            jobs, self._waiting = self._waiting, []
            results = await loop.run_in_executor(self._writing, self._transact, jobs)
            for job, (value, error) in zip(jobs, results, strict=True):
                if error is None:
                    self._wake(value)
                if job.done.cancelled():
                    continue
                if error is None:
                    job.done.set_result(value)
                else:
                    job.done.set_exception(error)
                    job.done.exception()  # a caller that went away is no reason for a warning
        self._flusher = None

    def _wake(self, task_ids: list[str]) -> None:
        for task_id in task_ids:
            for news in self._watchers.get(task_id, ()):
                news.set()

    def _transact(self, jobs: list[_Job]) -> list[tuple[list[str], BaseException | None]]:
        results: list[tuple[list[str], BaseException | None]] = []
        try:
            self._db.execute("BEGIN")
            for job in jobs:
                try:
                    results.append((job.work(self._tasks), None))
                except ApiError as problem:
                    results.append(([], problem))
            self._db.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  the disk is full, the file is damaged: everybody who waits must hear it
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            return [([], error)] * len(jobs)
        return results
