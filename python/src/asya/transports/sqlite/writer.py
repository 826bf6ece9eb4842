"""The one thread of a process that writes to the database, and its group commit.

Operations are queued from the event loop. While one transaction is being made durable the next ones gather, and go
together: a single disk flush then pays for many hops. Results come back to the loop with one call per transaction.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from asya.errors import TransportError
from asya.transports.sqlite.schema import connect, explain
from asya.transports.sqlite.store import Store
from asya.transports.sqlite.subscriptions import Handed, Subscriptions

log = logging.getLogger(__name__)

MOST_IN_ONE_TRANSACTION = 512

T = TypeVar("T")


@dataclass(slots=True)
class Operation:
    """One thing to do in a transaction. None as `work`: only look whether there is something to hand out."""

    future: asyncio.Future[Any] | None
    work: Callable[..., Any] | None
    args: tuple[Any, ...] = ()


@dataclass(slots=True)
class Outcome:
    """What became of a batch, on its way to the loop."""

    done: list[tuple[asyncio.Future[Any], Any, TransportError | None]] = field(default_factory=list)
    handed: Handed | None = None
    error: TransportError | None = None


class Writer:
    """Owns the writing connection. Create, `start`, `submit` from the loop, `stop`."""

    def __init__(
        self, path: Path, subscriptions: Subscriptions, deliver: Callable[[Handed | None, TransportError | None], None]
    ) -> None:
        self._path = path
        self._subscriptions = subscriptions
        self._deliver = deliver  # on the loop, after the futures of a transaction are resolved
        self._loop = asyncio.get_running_loop()
        self._operations: SimpleQueue[Operation | None] = SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=f"sqlite-writer {path.name}", daemon=True)
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._closed: asyncio.Future[None] = self._loop.create_future()

    async def start(self) -> None:
        """Open the database; raises what `schema.connect` raises."""
        self._thread.start()
        try:
            await self._opened
        except TransportError:
            self._thread.join()  # it has nothing more to do
            raise
        except BaseException:  # nobody waits any more
            self._stopped = True
            self._operations.put(None)
            raise

    async def stop(self) -> None:
        """Carry out what is queued, then close the database."""
        if not self._stopped:
            self._stopped = True
            self._operations.put(None)
        await asyncio.shield(self._closed)
        self._thread.join()

    def submit(self, work: Callable[..., T], *args: object) -> asyncio.Future[T]:
        """Queue `work(store, *args)`; the future has its result once it is durable."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self._stopped:
            future.set_exception(TransportError("the transport is closed"))
        else:
            self._operations.put(Operation(future, work, args))
        return future

    def look(self) -> None:
        """Have the consumers' queues looked at."""
        if not self._stopped:
            self._operations.put(Operation(None, None))

    def _run(self) -> None:
        try:
            store = Store(connect(self._path))
        except Exception as error:  # noqa: BLE001  whatever it is, `start` must not wait for ever
            self._tell(_fail, self._opened, error if isinstance(error, TransportError) else TransportError(repr(error)))
            return
        self._tell(_succeed, self._opened)
        going = True
        while going:
            batch = self._gather()
            if batch[-1] is None:
                going = False
            outcome = self._carry_out(store, [operation for operation in batch if operation is not None])
            if not self._tell(self._resolve, outcome):
                break
        store.close()
        self._tell(_succeed, self._closed)

    def _tell(self, callback: Callable[..., None], *args: object) -> bool:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop was closed under us: nobody is left to be told
            return False
        return True

    def _gather(self) -> list[Operation | None]:
        batch = [self._operations.get()]
        try:
            while batch[-1] is not None and len(batch) < MOST_IN_ONE_TRANSACTION:
                batch.append(self._operations.get_nowait())
        except Empty:
            pass
        return batch

    def _carry_out(self, store: Store, batch: list[Operation]) -> Outcome:
        outcome = Outcome()
        try:
            if all(operation.work is None for operation in batch):
                outcome.handed = self._subscriptions.look(store)
                if outcome.handed is not None:
                    return outcome
            store.begin()
            handed = self._transact(store, batch, outcome)
            store.commit()
        except Exception as error:  # noqa: BLE001  whatever it is, nobody may wait for ever
            outcome.error = self._undo(store, error)
            outcome.done = [
                (operation.future, None, outcome.error) for operation in batch if operation.future is not None
            ]
        else:
            outcome.handed = handed
            self._subscriptions.committed(store, handed)
        return outcome

    def _transact(self, store: Store, batch: list[Operation], outcome: Outcome) -> Handed:
        for operation in batch:
            if operation.work is None or operation.future is None:
                continue
            try:
                outcome.done.append((operation.future, operation.work(store, *operation.args), None))
            except TransportError as error:
                outcome.done.append((operation.future, None, error))
        return self._subscriptions.claim(store)

    def _undo(self, store: Store, error: Exception) -> TransportError:
        known = explain(error, self._path) if isinstance(error, sqlite3.Error) else TransportError(repr(error))
        known.__cause__ = error
        try:
            store.rollback()
        except sqlite3.Error:
            log.exception("%s: rollback failed", self._path)
        self._subscriptions.rolled_back()
        return known

    def _resolve(self, outcome: Outcome) -> None:
        for future, result, error in outcome.done:
            if future.done():  # cancelled by who waited; the work stands
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        self._deliver(outcome.handed, outcome.error)


def _succeed(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[None], error: TransportError) -> None:
    if not future.done():
        future.set_exception(error)
