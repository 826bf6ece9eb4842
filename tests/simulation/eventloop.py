"""An event loop in virtual time whose only freedom, which process goes on next, is taken by a seeded generator.

Each simulated process has a ready queue of its own, first in, first out, as asyncio promises it; between processes
every order is possible. Time stands still while anyone can work and then moves to the next timer. No sockets, no
threads, no sleeping.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
import random
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

_process: contextvars.ContextVar[Process] = contextvars.ContextVar("process")


class Listener:
    """A Unix socket that is listened on."""

    def __init__(
        self, loop: SimulationLoop, path: str, factory: Callable[[], asyncio.BaseProtocol], owner: Process
    ) -> None:
        self._loop, self._path = loop, path
        self.factory, self.owner = factory, owner

    def close(self) -> None:
        if self._loop.listeners.get(self._path) is self:
            del self._loop.listeners[self._path]


class StuckError(Exception):
    """Nothing can happen any more, or too much does."""


class Process:
    """Whatever has its own event loop in reality: a sidecar, a runtime, the broker. Dead ones never run again."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.stalled = False
        self.ready: deque[events.Handle] = deque()
        self._context = contextvars.Context()
        self._context.run(_process.set, self)

    @property
    def context(self) -> contextvars.Context:
        """A context for a callback that this process runs; a fresh one each time, since none can be entered twice."""
        return self._context.copy()

    def kill(self) -> None:
        """End it as SIGKILL does: nothing of it runs any more, not even a `finally`."""
        self.alive = False
        self.ready.clear()


class NumberedTask(asyncio.Task[Any]):
    """A task whose hash is its number, so that sets of tasks have the same order in each run."""

    def __init__(self, coro: Coroutine[Any, Any, Any], *, number: int, **more: Any) -> None:
        self.number = number
        super().__init__(coro, **more)

    def __hash__(self) -> int:
        return self.number


class SimulationLoop(asyncio.BaseEventLoop):
    """See the module. `most_steps` callbacks are taken for a run that never ends."""

    def __init__(self, seed: str, *, most_steps: int = 2_000_000) -> None:
        super().__init__()
        self._chance = random.Random(seed).random
        self._now = 0.0
        self._timers: list[tuple[float, int, events.TimerHandle, Process]] = []
        self._order = itertools.count()
        self._tasks = itertools.count(1)
        self._active: list[Process] = []
        self._most_steps = most_steps
        self.steps = 0
        self.world = Process("world")
        self.listeners: dict[str, Listener] = {}
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        return self._now

    def set_now(self, now: float) -> None:
        """Pass over a time in which only timers of `world` would run."""
        self._now = max(self._now, now)

    def stall(self, process: Process, seconds: float) -> None:
        """Let a process do nothing for a while, as under SIGSTOP or a long garbage collection."""
        if process.stalled or not process.alive:
            return
        process.stalled = True
        if process in self._active:
            self._active.remove(process)
        self.call_at(self._now + seconds, self._go_on, process, context=self.world.context)

    def _go_on(self, process: Process) -> None:
        process.stalled = False
        if process.ready and process not in self._active:
            self._active.append(process)

    # -- asyncio's side

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> events.Handle:
        handle = events.Handle(callback, args, self, context)
        self._push(handle, self._owner(context))
        return handle

    call_soon_threadsafe = call_soon

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> events.TimerHandle:
        timer = events.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._order), timer, self._owner(context)))
        return timer

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> events.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    async def create_unix_server(self, protocol_factory: Any, path: Any = None, **more: Any) -> Any:
        listener = self.listeners[path] = Listener(self, path, protocol_factory, self._owner(None))
        return listener

    def _timer_handle_cancelled(self, handle: events.TimerHandle) -> None:
        """Nothing: a cancelled one is passed over when its time comes."""

    def _owner(self, context: contextvars.Context | None) -> Process:
        return _process.get(self.world) if context is None else context.get(_process, self.world)

    def _push(self, handle: events.Handle, process: Process) -> None:
        if not process.alive:
            return
        if not process.ready and not process.stalled:
            self._active.append(process)
        process.ready.append(handle)

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **more: Any
    ) -> asyncio.Task[Any]:
        return NumberedTask(coro, number=next(self._tasks), loop=loop, **more)

    def _run_once(self) -> None:
        active = self._active
        if not active:
            self._advance()
            return
        index = int(self._chance() * len(active)) if len(active) > 1 else 0
        process = active[index]
        if not process.ready:  # it was killed
            del active[index]
            return
        handle = process.ready.popleft()
        if not process.ready:
            del active[index]
        if not handle.cancelled():
            self.steps += 1
            if self.steps > self._most_steps:
                raise StuckError(f"{self.steps} steps, and no end")
            handle._run()

    def _advance(self) -> None:
        while self._timers:
            when, _, timer, process = heapq.heappop(self._timers)
            if timer.cancelled() or not process.alive:
                continue
            self._now = max(self._now, when)
            self._push(timer, process)
            return
        raise StuckError("nothing is ready and no timer is set")

    def _process_events(self, event_list: Any) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """There is no other thread that could wait."""
