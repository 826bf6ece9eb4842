"""The socket on which the runtime connects; which worker takes a call; how long a call may take."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from asya.errors import SettingsError
from asya.policy import Failure
from asya_sidecar.decide import Away
from asya_sidecar.link import frames
from asya_sidecar.link.frames import Buffer
from asya_sidecar.link.worker import Call, Listener, WorkerConnection, welcome

log = logging.getLogger("asya.link")

SOCKET_NAME = "asya.sock"
SWEEP_SECONDS = 0.05
CANCEL_GRACE_SECONDS = 2.0
AWAY_GRACE_SECONDS = 5.0
PING_SECONDS = 10.0
SILENCE_SECONDS = 30.0
# sun_path of struct sockaddr_un on Linux, with its terminating zero (man 7 unix).
_PATH_LIMIT = 107


class Registries(Protocol):
    """Who keeps what workers count with prometheus_client."""

    def update(self, pid: int, body: bytes) -> None:
        """Take the state of one worker's registry."""

    def gone(self, pid: int) -> None:
        """Keep what a worker has counted; it is gone."""


class RuntimeLink:
    """The runtime's processes as one callee.

    `timeout` is the actor's limit for a call in seconds, for the runtime to know. `on_capacity` is called with the
    number of calls that all connected workers take together whenever it changes; `on_drain` when the runtime's
    container was asked to stop; `on_supervisor` when a runtime has introduced itself.
    """

    def __init__(
        self,
        folder: Path,
        *,
        mode: int,
        actor: str,
        namespace: str,
        timeout: float,
        on_capacity: Callable[[int], None],
        on_drain: Callable[[], None],
        on_supervisor: Callable[[], None],
    ) -> None:
        self._path = folder / SOCKET_NAME
        self._mode = mode
        self._on_capacity, self._on_drain, self._on_supervisor = on_capacity, on_drain, on_supervisor
        self._workers: list[WorkerConnection] = []
        self._supervisors: list[WorkerConnection] = []
        self._heard_before: float | None = None
        """When a supervisor that has left was last heard."""
        self._waiting: deque[Call] = deque()
        self._server: asyncio.Server | None = None
        self._sweep: asyncio.TimerHandle | None = None
        """The next look at running calls; None while there are none: an idle actor must not wake the machine."""
        self._ping: asyncio.TimerHandle | None = None
        self._give_up: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self.welcome = welcome(actor=actor, namespace=namespace, timeout=timeout)
        self.registries: Registries | None = None
        self.capacity = 0
        self.reason = "no runtime has connected"
        """Why there is no capacity, in words for people."""
        self.awaited = True
        """Whether a runtime may come by itself (it is being started); false once it said that it cannot."""

    async def open(self) -> None:
        """Listen.

        Raises:
            SettingsError: The folder cannot be used for a socket.
        """
        if len(os.fsencode(self._path)) > _PATH_LIMIT:
            raise SettingsError(
                [f"ASYA_SOCKET_DIR: {self._path} is longer than the {_PATH_LIMIT} bytes a socket's path may have"]
            )
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.unlink(missing_ok=True)
            before = os.umask(0o777 & ~self._mode)
            try:
                self._server = await self._loop.create_unix_server(self._connection, str(self._path))
            finally:
                os.umask(before)
            self._path.chmod(self._mode)
        except OSError as error:
            raise SettingsError([f"ASYA_SOCKET_DIR: cannot listen on {self._path}: {error.strerror}"]) from None
        self._ping = self._loop.call_later(PING_SECONDS, self._ask_whether_alive)

    async def close(self) -> None:
        """Tell the runtime that nothing more will come, and hang up."""
        self.finish()
        for timer in (self._sweep, self._ping, self._give_up):
            if timer is not None:
                timer.cancel()
        if self._server is not None:
            self._server.close()
        for connection in (*self._workers, *self._supervisors):
            connection.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Send DONE: the runtime runs its stop hooks and exits."""
        for supervisor in self._supervisors:
            supervisor.send(frames.frame(frames.DONE))

    @property
    def silence(self) -> float | None:
        """For how many seconds the runtime's supervisor was not heard; None before one has come."""
        heard = max((supervisor.last_heard for supervisor in self._supervisors), default=self._heard_before)
        return None if heard is None else self._loop.time() - heard

    def call(self, meta: bytes, payload: Buffer, limit: float, listener: Listener, left: float | None = None) -> Call:
        """Have the handler called as soon as a worker has room.

        `limit` seconds count from when it begins, `left` seconds (until the deadline) from now.
        """
        call = Call(meta, payload, limit, listener)
        if left is not None:
            call.expires = self._loop.time() + left
        if self._sweep is None:
            self._sweep = self._loop.call_later(SWEEP_SECONDS, self._look_at_the_clock)
        worker = None if self._waiting else self._roomiest()
        if worker is None:
            self._waiting.append(call)
            if not self.capacity:
                self._expect_capacity()
        else:
            worker.begin(call)
        return call

    # -- Peers

    def joined(self, connection: WorkerConnection) -> None:
        """Count the newcomer's credit in."""
        hello = connection.hello
        assert hello is not None  # noqa: S101  called when it has been read
        if hello.role == "supervisor":
            self._supervisors.append(connection)
            self._on_supervisor()
            return
        self._workers.append(connection)
        log.debug("worker %d joined: %s, %s, credit %d", hello.pid, hello.handler, hello.kind, hello.credit)
        self._recount()
        self.freed()

    def left(self, connection: WorkerConnection, unstarted: list[Call]) -> None:
        """Put back what had not begun, first in line."""
        if connection in self._supervisors:
            self._supervisors.remove(connection)
            self._heard_before = connection.last_heard
        self._waiting.extendleft(reversed(unstarted))
        if connection in self._workers:
            self._workers.remove(connection)
            if self.registries is not None and connection.hello is not None:
                self.registries.gone(connection.hello.pid)
            self.reason, self.awaited = "the runtime's worker is gone", True
            self._recount()
        self.freed()

    def counted(self, connection: WorkerConnection, body: bytes) -> None:
        """Hand on what a worker counted."""
        if self.registries is not None and connection.hello is not None:
            self.registries.update(connection.hello.pid, body)

    def freed(self) -> None:
        """Give waiting calls to whoever has room."""
        waiting = self._waiting
        while waiting:
            if waiting[0].over:
                waiting.popleft()
                continue
            worker = self._roomiest()
            if worker is None:
                return
            worker.begin(waiting.popleft())

    def failed_to_start(self, failure: Failure) -> None:
        """Remember why the handler cannot be called."""
        self.reason, self.awaited = f"the handler cannot be started: {failure.type}: {failure.message}", False
        log.error(self.reason, extra={"traceback": failure.traceback})

    def asked_to_drain(self) -> None:
        """Pass it on."""
        self._on_drain()

    def replace(self, connection: WorkerConnection) -> None:
        """Have the worker killed; without a supervisor, at least stop using it."""
        hello = connection.hello
        if hello is None:
            return
        log.warning("replacing worker %d", hello.pid)
        connection.replaced = True
        body = msgspec.json.encode({"pid": hello.pid})
        for supervisor in self._supervisors:
            supervisor.send(frames.frame(frames.REPLACE, 0, body))
        if not self._supervisors:
            connection.abort()

    # -- inside

    def _connection(self) -> WorkerConnection:
        return WorkerConnection(self, self._loop)

    def _roomiest(self) -> WorkerConnection | None:
        best, room = None, 0
        for worker in self._workers:
            if worker.room > room:
                best, room = worker, worker.room
        return best

    def _recount(self) -> None:
        capacity = sum(worker.hello.credit for worker in self._workers if worker.hello is not None)
        if capacity == self.capacity:
            return
        self.capacity = capacity
        if capacity:
            self.reason, self.awaited = "", False
            if self._give_up is not None:
                self._give_up.cancel()
                self._give_up = None
        elif self._waiting:
            self._expect_capacity()
        self._on_capacity(capacity)

    def _expect_capacity(self) -> None:
        """Let calls wait a moment for a worker that is being started, then give them back."""
        if self._give_up is None:
            self._give_up = self._loop.call_later(AWAY_GRACE_SECONDS, self._nobody_came)

    def _nobody_came(self) -> None:
        self._give_up = None
        if self.capacity:
            return
        while self._waiting:
            self._waiting.popleft().end(Away(self.reason))

    def _look_at_the_clock(self) -> None:
        """End calls that take too long; have workers replaced that do not let go."""
        now = self._loop.time()
        for worker in self._workers:
            stuck = False
            for call in list(worker.calls.values()):
                if call.over or not _is_over(call, now):
                    continue
                call.timed_out()
                worker.stop_call(call)
            for number, since in list(worker.canceled_at.items()):
                if worker.calls[number].since is not None and now - since >= CANCEL_GRACE_SECONDS:
                    worker.canceled_at[number] = now
                    stuck = True
            if stuck:
                self.replace(worker)
        for call in list(self._waiting):
            if call.expires is not None and now >= call.expires:
                call.timed_out()
        busy = self._waiting or any(worker.calls for worker in self._workers)
        self._sweep = self._loop.call_later(SWEEP_SECONDS, self._look_at_the_clock) if busy else None

    def _ask_whether_alive(self) -> None:
        now = self._loop.time()
        for supervisor in list(self._supervisors):
            if now - supervisor.last_heard > SILENCE_SECONDS:
                log.error("the runtime's supervisor has been silent for %d s", now - supervisor.last_heard)
                supervisor.abort()
            else:
                supervisor.send(frames.frame(frames.PING))
        self._ping = self._loop.call_later(PING_SECONDS, self._ask_whether_alive)


def _is_over(call: Call, now: float) -> bool:
    """Tell whether the handler has had its time, or the deadline has come."""
    if call.since is not None and now - call.since >= call.limit:
        return True
    return call.expires is not None and now >= call.expires
