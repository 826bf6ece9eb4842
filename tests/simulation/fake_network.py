"""The network between simulated processes: it delays, breaks, and loses what is on its way, but keeps its order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial
from typing import Protocol

from tests.simulation.eventloop import Process, SimulationLoop
from tests.support.streams import give

from asya.errors import ConnectionLostError, TransportError

Work = Callable[[], None]


class Pace:
    """How long things take on one way; what goes first arrives first."""

    def __init__(self, loop: SimulationLoop, chance: random.Random) -> None:
        self._loop, self._chance = loop, chance
        self._last = 0.0
        self.extra = 0.0
        """Seconds on top, while the way is slow."""

    def arrival(self) -> float:
        """Return when what is sent now arrives."""
        draw = self._chance.random()
        latency = 0.0002 + 0.003 * draw if draw < 0.95 else 0.2 * (draw - 0.95)
        self._last = max(self._last, self._loop.time() + latency + self.extra)
        return self._last


class Watcher(Protocol):
    """Hears of each piece of work that the broker does, and of answers that have arrived."""

    def begin(self, sent: int) -> None:
        """The broker begins work that was asked for at step `sent`."""

    def end(self) -> object:
        """It is done; returns what to remember about it."""

    def answered(self, work: object) -> None:
        """The answer is where it was asked for."""


class BrokerWire:
    """One sidecar's connection to the broker; see `asya.transports.memory.Wire`.

    Both ends may have different views for a while: `cut` breaks it for the sidecar, `on_hang_up` runs at the broker.
    """

    def __init__(
        self, loop: SimulationLoop, client: Process, broker: Process, chance: random.Random, watcher: Watcher
    ) -> None:
        self._loop, self._client, self._broker, self._watcher = loop, client, broker, watcher
        self._up, self._down = Pace(loop, chance), Pace(loop, chance)
        self._epoch = 0
        self._waiting: dict[asyncio.Future[None], None] = {}
        self.connected = True
        self.losing_settlements = 0
        self.on_lost_settlement: Work = lambda: None

    def slow(self, seconds: float) -> None:
        """Let everything take that much longer."""
        self._up.extra = self._down.extra = seconds

    def request(self, work: Work) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._loop.create_future()
        if not self.connected:
            future.set_exception(ConnectionLostError("not connected"))
            future.exception()
            return future
        self._waiting[future] = None
        self._at(self._up, self._broker, partial(self._do, self._epoch, self._loop.steps, work, future))
        return future

    def tell(self, work: Work) -> None:
        if not self.connected:
            return
        if self.losing_settlements:
            self.losing_settlements -= 1
            self.on_lost_settlement()
            return
        self._at(self._up, self._broker, partial(self._tell, self._epoch, self._loop.steps, work))

    def hand_out(self, work: Work) -> None:
        self._at(self._down, self._client, partial(self._hand_out, self._epoch, work))

    def cut(self) -> None:
        """Lose what is under way, in both directions; whoever waits for an answer learns that none will come."""
        self._epoch += 1
        self.connected = False
        waiting, self._waiting = self._waiting, {}
        for future in waiting:
            self._loop.call_soon(_fail, future, context=self._client.context)

    def mend(self) -> None:
        """Work again."""
        self.connected = True

    def _at(self, pace: Pace, process: Process, work: Work) -> None:
        self._loop.call_at(pace.arrival(), work, context=process.context)

    def _hand_out(self, epoch: int, work: Work) -> None:
        if epoch == self._epoch:
            work()

    def _tell(self, epoch: int, sent: int, work: Work) -> None:
        if epoch == self._epoch:
            self._watcher.begin(sent)
            work()
            self._watcher.end()

    def _do(self, epoch: int, sent: int, work: Work, future: asyncio.Future[None]) -> None:
        if epoch != self._epoch:
            return
        problem: TransportError | None = None
        self._watcher.begin(sent)
        try:
            work()
        except TransportError as error:
            problem = error
        done = self._watcher.end()
        self._at(self._down, self._client, partial(self._answer, epoch, future, problem, done))

    def _answer(self, epoch: int, future: asyncio.Future[None], problem: TransportError | None, done: object) -> None:
        if epoch != self._epoch:
            return
        self._waiting.pop(future, None)
        if problem is None:
            self._watcher.answered(done)
        if future.done():
            return
        if problem is None:
            future.set_result(None)
        else:
            future.set_exception(problem)
            future.exception()


def _fail(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(ConnectionLostError("the connection broke"))
        future.exception()


class Pipe(asyncio.Transport):
    """One end of a stream between two processes; `peer` is the other end. Bytes arrive in pieces of any size."""

    def __init__(self, loop: SimulationLoop, owner: Process, chance: random.Random) -> None:
        super().__init__()
        self._loop, self._owner, self._chance = loop, owner, chance
        self._pace = Pace(loop, chance)
        self.peer: Pipe | None = None
        self.protocol: asyncio.Protocol | None = None
        self._closed = False
        self._paused = False
        self._full = False
        self._unread: list[bytes | None] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closed:
            return
        rest = bytes(data)
        if len(rest) > 1 and self._chance.random() < 0.2:
            cut = self._chance.randrange(1, len(rest))
            self._send(rest[:cut])
            rest = rest[cut:]
        self._send(rest)
        if not self._full and self.protocol is not None and self._chance.random() < 0.1:
            self._full = True
            self.protocol.pause_writing()
            self._loop.call_at(
                self._loop.time() + 0.02 * self._chance.random(), self._drained, context=self._owner.context
            )

    def _drained(self) -> None:
        self._full = False
        if self.protocol is not None:
            self.protocol.resume_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The other end is sometimes too slow, whatever the limits are."""

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._send(None)
        self._loop.call_soon(self._lost, context=self._owner.context)

    abort = close

    def vanish(self) -> None:
        """The owner was killed: the peer sees the end of the stream after what was written."""
        if not self._closed:
            self._closed = True
            self._send(None)

    def is_closing(self) -> bool:
        return self._closed

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._loop.call_soon(self._read, context=self._owner.context)

    def _send(self, data: bytes | None) -> None:
        peer = self.peer
        assert peer is not None
        self._loop.call_at(self._pace.arrival(), peer._arrived, data, context=peer._owner.context)

    def _arrived(self, data: bytes | None) -> None:
        self._unread.append(data)
        self._read()

    def _read(self) -> None:
        while self._unread and not self._paused and self.protocol is not None:
            data = self._unread.pop(0)
            if self._closed:
                return
            if data is not None:
                give(self.protocol, data)
            else:
                self._closed = True
                self._lost()

    def _lost(self) -> None:
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connection_lost(None)


def connect(
    loop: SimulationLoop,
    chance: random.Random,
    one: tuple[Process, asyncio.Protocol],
    other: tuple[Process, asyncio.Protocol],
) -> tuple[Pipe, Pipe]:
    """Join two protocols, each run by its own process."""
    left, right = Pipe(loop, one[0], chance), Pipe(loop, other[0], chance)
    left.peer, right.peer = right, left
    for pipe, (process, protocol) in ((left, one), (right, other)):
        pipe.protocol = protocol
        loop.call_soon(protocol.connection_made, pipe, context=process.context)
    return left, right
