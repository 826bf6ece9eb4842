"""The results of one running call: all but the first are published as they come, with bounded memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from asya.errors import TransportError
from asya.transports import Outgoing
from asya_sidecar.carry import Carrier
from asya_sidecar.decide import Actor, Result, Send, child_send
from asya_sidecar.decide.after import InvalidResult
from asya_sidecar.hop import Hop
from asya_sidecar.link import WorkerConnection
from asya_sidecar.observe import Observer, Tracer

if TYPE_CHECKING:
    from asya_sidecar.gate import Gate, Sending

WINDOW = 200
"""Results of one call that may be on their way to the broker; beyond it the handler's process is not read."""
WINDOW_BYTES = 16 * 1024 * 1024
"""The same in bytes: one more result is taken while there are fewer."""


class Stream:
    """What one call has sent on so far."""

    def __init__(
        self,
        hop: Hop,
        actor: Actor,
        carrier: Carrier,
        observer: Observer | None,
        tracer: Tracer | None,
        gate: Gate | None,
    ) -> None:
        self._hop, self._actor, self._carrier = hop, actor, carrier
        self._observer, self._tracer, self._gate = observer, tracer, gate
        self._pending = 0
        self.pending_bytes = 0
        """Bytes of results that are not confirmed."""
        self._paused: WorkerConnection | None = None
        self._idle: asyncio.Future[None] | None = None
        self._recoveries: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        """An error of ours that a result met; the message cannot be settled as if that one had arrived."""
        self.children: dict[str, None] = {}
        """Ids of what was published, in order; a call that had to be begun anew emits the same ones again."""
        self.undeliverable = False
        """A result could be published nowhere, not even to the sump."""

    def chunk(self, index: int, result: Result) -> None:
        """Publish result `index`; a route that is none ends the call."""
        try:
            send = child_send(self._hop.envelope, result, index, self._actor, time.time())
        except InvalidResult as invalid:
            self._refuse(invalid, index)
            return
        if self._tracer is not None:
            send = self._tracer.stamp(self._hop, send)
        message = self._carrier.outgoing(send)
        self.children[send.envelope.id] = None
        self._pending += 1
        self.pending_bytes += len(message.body)
        sending = None if self._gate is None else self._gate.sending(self._hop, (message,))
        if sending is None or sending.ready:
            future = self._carrier.publish(message)
            if sending is not None:
                future.add_done_callback(sending.done)
            future.add_done_callback(lambda done: self._published(send, message, done))
        else:
            self._go_on(self._publish_later(send, message, sending), len(message.body))
        call = self._hop.call
        worker = None if call is None else call.worker
        if worker is None or self._paused is worker or not self._is_full:
            return
        # The connection is remembered, not the call's: the call may be over before its results are confirmed. Where
        # another one was, its process is gone and the call was begun anew.
        self._resume()
        self._paused = worker
        worker.pause_reading()

    @property
    def _is_full(self) -> bool:
        return self._pending >= WINDOW or self.pending_bytes >= WINDOW_BYTES

    @property
    def waits(self) -> bool:
        """Whether a result could not be published at once and is being tried again."""
        return bool(self._recoveries)

    async def flush(self) -> None:
        """Wait until everything that was published is confirmed; an error of ours is raised at once."""
        self._resume()
        if self._pending and self._failure is None:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
        if self._failure is not None:
            raise self._failure

    def abandon(self) -> None:
        """Try nothing again: the message is released, and whoever gets it emits the same results."""
        for task in self._recoveries:
            task.cancel()

    def _published(self, send: Send, message: Outgoing, done: asyncio.Future[None]) -> None:
        if done.cancelled():
            return  # the process ends; the delivery is released and comes again
        error = done.exception()
        if error is None:
            self._arrived(len(message.body), (message,))
        elif isinstance(error, TransportError):
            self._go_on(self._recover(send, len(message.body), error), len(message.body))
            self._hop.way.held_up(self._hop)
        else:
            self._fail(error, len(message.body))

    def _go_on(self, work: Coroutine[Any, Any, None], size: int) -> None:
        task = asyncio.get_running_loop().create_task(work, name="publish later")
        self._recoveries.add(task)
        task.add_done_callback(lambda done: self._went_on(done, size))

    def _went_on(self, task: asyncio.Task[None], size: int) -> None:
        self._recoveries.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error, size)

    def _fail(self, error: BaseException, size: int) -> None:
        self._failure = self._failure or error
        self._arrived(size, ())

    async def _publish_later(self, send: Send, message: Outgoing, sending: Sending) -> None:
        await sending.wait()
        try:
            await self._carrier.publish(message)
        except TransportError as error:
            sending.ended(error)
            await self._recover(send, len(message.body), error)
        else:
            sending.ended(None)
            self._arrived(len(message.body), (message,))

    async def _recover(self, send: Send, size: int, error: TransportError) -> None:
        published = await self._carrier.publish_again(self._hop.envelope, send, error)
        if published is None:
            self.undeliverable = True
        self._arrived(size, published or ())

    def _arrived(self, size: int, messages: Sequence[Outgoing]) -> None:
        self._pending -= 1
        self.pending_bytes -= size
        if self._pending <= WINDOW // 2 and self.pending_bytes <= WINDOW_BYTES // 2:
            self._resume()
        done = not self._pending or self._failure is not None
        if done and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        if self._observer is not None:
            for message in messages:
                self._observer.published(message)

    def _resume(self) -> None:
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.resume_reading()

    def _refuse(self, invalid: InvalidResult, index: int) -> None:
        call = self._hop.call
        if call is None:
            return
        failed, worker = invalid.failed, call.worker
        call.end(type(failed)(failure=failed.failure, cause=failed.cause, published=index - 1))
        if worker is not None:
            worker.stop_call(call)
