"""The results of one running call: all but the first are published as they come, with bounded memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from asya.errors import TransportError
from asya.wire import Envelope
from asya_sidecar.carry import Carrier
from asya_sidecar.decide import Actor, Result, Send, child_send
from asya_sidecar.decide.after import InvalidResult
from asya_sidecar.link import Call, WorkerConnection

WINDOW = 200
"""Results of one call that may be on their way to the broker; beyond it the handler's process is not read."""


class Stream:
    """Listens to one call."""

    def __init__(self, envelope: Envelope, actor: Actor, carrier: Carrier, fly: Callable[[bytes], None] | None) -> None:
        self._envelope, self._actor, self._carrier, self._fly = envelope, actor, carrier, fly
        self._pending = 0
        self._paused: WorkerConnection | None = None
        self._idle: asyncio.Future[None] | None = None
        self._recoveries: set[asyncio.Task[None]] = set()
        self.call: Call | None = None
        self.children: dict[str, None] = {}
        """Ids of what was published, in order; a call that had to be begun anew emits the same ones again."""
        self.undeliverable = False
        """A result could be published nowhere, not even to the sump."""

    def chunk(self, index: int, result: Result) -> None:
        """Publish result `index`; a route that is none ends the call."""
        try:
            send = child_send(self._envelope, result, index, self._actor, time.time())
        except InvalidResult as invalid:
            self._refuse(invalid, index)
            return
        self.children[send.envelope.id] = None
        self._pending += 1
        future = self._carrier.publish(send)
        future.add_done_callback(lambda done: self._published(send, done))
        if self._pending >= WINDOW and self._paused is None and self.call is not None and self.call.worker is not None:
            # The connection is remembered, not the call's: the call may be over before its results are confirmed.
            self._paused = self.call.worker
            self._paused.pause_reading()

    def fly(self, event: bytes) -> None:
        """Pass an event on to whoever watches."""
        if self._fly is not None:
            self._fly(event)

    @property
    def waits(self) -> bool:
        """Whether a result could not be published at once and is being tried again."""
        return bool(self._recoveries)

    async def flush(self) -> None:
        """Wait until everything that was published is confirmed."""
        self._resume()
        if self._pending:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    def abandon(self) -> None:
        """Try nothing again: the message is released, and whoever gets it emits the same results."""
        for task in self._recoveries:
            task.cancel()

    def _published(self, send: Send, done: asyncio.Future[None]) -> None:
        if done.cancelled():
            return  # the process ends; the delivery is released and comes again
        error = done.exception()
        if error is None:
            self._arrived()
        elif isinstance(error, TransportError):
            task = asyncio.get_running_loop().create_task(self._recover(send, error), name="publish again")
            self._recoveries.add(task)
            task.add_done_callback(self._recoveries.discard)
        else:
            raise error

    async def _recover(self, send: Send, error: TransportError) -> None:
        if not await self._carrier.publish_again(self._envelope, send, error):
            self.undeliverable = True
        self._arrived()

    def _arrived(self) -> None:
        self._pending -= 1
        if self._pending <= WINDOW // 2:
            self._resume()
        if not self._pending and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _resume(self) -> None:
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.resume_reading()

    def _refuse(self, invalid: InvalidResult, index: int) -> None:
        call = self.call
        if call is None or call.done.done():
            return
        failed = invalid.failed
        call.end(type(failed)(failure=failed.failure, cause=failed.cause, published=index - 1))
        if call.worker is not None:
            call.worker.stop_call(call)
