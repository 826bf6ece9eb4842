"""The embedded queue behind the transport contract."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from asya.errors import LeaseLostError, RefusedError, SettingsError, TooLargeError, TransportError
from asya.transports.base import Consumer, Delivery, Depth, Limits, Link, Outgoing, QueueSpec, Settle, bodies
from asya.transports.naming import QueueNames
from asya.transports.settings import SqliteSettings
from asya.transports.sqlite.dead_letters import SqliteDeadLetters
from asya.transports.sqlite.reader import Reader
from asya.transports.sqlite.receiving import Receiving
from asya.transports.sqlite.store import Declaration, Posting, Store
from asya.transports.sqlite.subscriptions import Held, Subscription, Subscriptions
from asya.transports.sqlite.wake import Ringer

RECHECK_SECONDS: Final = 5.0
"""How often an idle consumer looks by itself; a wake-up is lost when its sender dies right after its commit."""
RETRY_SECONDS: Final = 1.0
"""Pause before messages are asked for again, or opening is tried again, after a refusal (locked, disk full)."""

T = TypeVar("T")


class SqliteTransport:
    """Queues in one database file, shared by several processes; see `base.Transport` for the contract.

    Deliveries are leased for `settings.lease_seconds`; `extend` keeps them. A release on purpose does not count towards
    the delivery limit, a lease that runs out does.

    Raises:
        SettingsError: `settings.path` is not set.
    """

    name = "sqlite"

    def __init__(self, names: QueueNames, settings: SqliteSettings) -> None:
        if settings.path is None:
            raise SettingsError(["ASYA_SQLITE_PATH is not set; expected a file path"])
        self.limits = Limits(message_bytes=settings.message_bytes, delays=True, atomic=True)
        self.link = Link()
        self._names = names
        self._path = settings.path.absolute()
        self._lease_seconds = settings.lease_seconds
        self._opening = asyncio.Lock()
        self._receiving: Receiving | None = None
        self._ringer: Ringer | None = None
        self._subscriptions: Subscriptions | None = None
        # Reading has a thread of its own, so that a long commit never delays a look at the depths.
        self._reader: Reader | None = None
        self._reader_thread: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Open the database; made where it does not exist, in a folder that must. See `base.Transport.open`."""
        async with self._opening:
            while self._receiving is None:
                try:
                    await self._start()
                except RefusedError as error:
                    self.link.set(False, str(error))
                    await asyncio.sleep(RETRY_SECONDS)
            self.link.set(True)

    async def close(self) -> None:
        """Release what is unsettled, carry out what was asked for, close the database."""
        async with self._opening:
            receiving, subscriptions, ringer = self._receiving, self._subscriptions, self._ringer
            if receiving is None or subscriptions is None or ringer is None:
                return
            self._receiving = None
            receiving.stop()
            try:
                await receiving.writer.submit(subscriptions.give_back_all)
            except RefusedError:
                pass  # the leases run out by themselves
            finally:
                await receiving.writer.stop()
                ringer.close()
                self._stop_reading()
                self.link.set(False, "closed")

    async def declare(self, queues: Sequence[QueueSpec]) -> None:
        """Make queues and dead-letter queues; see `base.Transport.declare`."""
        self._names.refuse_collisions(queue.actor for queue in queues)
        declarations = [
            Declaration(
                namespace=self._names.namespace,
                actor=queue.actor,
                queue=self._names.queue(queue.actor),
                dead_letters=self._names.dead_letters(queue.actor),
                delivery_limit=queue.delivery_limit,
            )
            for queue in queues
        ]
        await self._submit(Store.declare, declarations)

    async def consume(self, actor: str, credit: int, on_delivery: Callable[[Delivery], None]) -> Consumer:
        """Start to receive; see `base.Transport.consume`."""
        queue = self._names.queue(actor)
        await self._submit(Store.require, actor, queue)
        if self._receiving is None:
            raise TransportError("the transport was closed")
        return self._receiving.start(Subscription(actor=actor, queue=queue, credit=credit, on_delivery=on_delivery))

    def publish(self, messages: Sequence[Outgoing]) -> asyncio.Future[None]:
        """Publish, all or none; see `base.Transport.publish`."""
        try:
            postings = self._postings(messages)
        except TooLargeError as error:
            return _failed(error)
        return self._submit(Store.publish, postings)

    def complete(
        self, delivery: Delivery, messages: Sequence[Outgoing] = (), settle: Settle = Settle.ACK, reason: str = ""
    ) -> asyncio.Future[None]:
        """Publish and settle in one transaction; see `base.Transport.complete`."""
        if messages and settle is not Settle.ACK:
            raise ValueError(f"{settle} takes no messages")
        try:
            postings = self._postings(messages)
        except TooLargeError as error:
            return _failed(error)
        if self._subscriptions is None or self._receiving is None:
            return _failed(LeaseLostError("the transport is closed; the delivery was released"))
        return self._receiving.writer.submit(self._subscriptions.settle, _held(delivery), postings, settle, reason)

    async def extend(self, delivery: Delivery, seconds: float) -> None:
        """Hold a delivery for `seconds` from now; see `base.Transport.extend`."""
        await self._submit(Store.extend, _held(delivery).lease, seconds)

    async def depth(self, actors: Sequence[str]) -> dict[str, Depth]:
        """Count messages with one read-only query; see `base.Transport.depth`."""
        return await self._read(lambda reader: reader.depth(actors))

    async def dead_letters(self, actor: str, limit: int) -> list[bytes]:
        """Look at dead letters; see `base.Transport.dead_letters`."""
        return await bodies(self.open_dead_letters(actor), limit)

    @contextlib.asynccontextmanager
    async def open_dead_letters(self, actor: str) -> AsyncIterator[SqliteDeadLetters]:
        """Open dead letters; see `base.Transport.open_dead_letters`."""
        queue = await self._read(lambda reader: reader.dead_letter_queue(actor))
        yield SqliteDeadLetters(actor, self._names.queue(actor), queue, self._read, self._submit, self.limits)

    async def drop(self, actors: Sequence[str]) -> None:
        """Delete queues; see `base.Transport.drop`."""
        await self._submit(Store.drop, [self._names.queue(actor) for actor in actors])

    async def _start(self) -> None:
        if not self._path.parent.is_dir():
            raise TransportError(f"the folder of the database {self._path} does not exist")
        ringer = Ringer(self._path)
        subscriptions = Subscriptions(ringer, self._lease_seconds, RECHECK_SECONDS)
        receiving = Receiving(
            self._path, subscriptions, ringer, lease_seconds=self._lease_seconds, retry_seconds=RETRY_SECONDS
        )
        try:
            await receiving.writer.start()
        except BaseException:
            ringer.close()
            raise
        self._ringer, self._subscriptions, self._receiving = ringer, subscriptions, receiving

    def _submit(self, work: Callable[..., T], *args: object) -> asyncio.Future[T]:
        if self._receiving is None:
            return _failed(TransportError("the transport is not open"))
        return self._receiving.writer.submit(work, *args)

    def _postings(self, messages: Sequence[Outgoing]) -> list[Posting]:
        limit = self.limits.message_bytes
        for message in messages:
            if len(message.body) > limit:
                raise TooLargeError(actor=message.actor, size=len(message.body), limit=limit)
        queue = self._names.queue
        return [Posting(message.actor, queue(message.actor), message.body, message.delay) for message in messages]

    async def _read(self, look: Callable[[Reader], T]) -> T:
        if self._receiving is None:
            raise TransportError("the transport is not open")
        if self._reader_thread is None:
            self._reader_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-reader")

        def work() -> T:
            if self._reader is None:
                self._reader = Reader(self._path, self._names)
            return look(self._reader)

        return await asyncio.get_running_loop().run_in_executor(self._reader_thread, work)

    def _stop_reading(self) -> None:
        if self._reader_thread is not None:
            self._reader_thread.shutdown(wait=True)
            self._reader_thread = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _held(delivery: Delivery) -> Held:
    token = delivery.token
    if not isinstance(token, Held):
        raise TypeError(f"a delivery of another transport: {token!r}")
    return token


def _failed(error: TransportError) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return future
