"""A runtime whose handler does what the plan says: it speaks the link protocol, works, hangs and crashes.

The real one forks processes and blocks on sockets, so it cannot run in virtual time.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.simulation.eventloop import Process
from tests.simulation.facts import CallFact, attempt_of, hop_of
from tests.simulation.fake_network import Pipe
from tests.simulation.plan import SINK, SUMP, Call

from asya_sidecar.link import frames

if TYPE_CHECKING:
    from tests.simulation.pods import Pod

MRO = {
    "ValueError": ("Exception",),
    "TimeoutError": ("OSError", "Exception"),
    "KeyError": ("LookupError", "Exception"),
    "app.Busy": ("RuntimeError", "Exception"),
    "app.Wrong": ("ValueError", "Exception"),
}
RECONNECT_SECONDS, RESTART_SECONDS = 0.2, 0.5
CALM_HOP, FAN_OUT_HOP = 10, 4
"""From these hops on handlers only pass their input on, and give one result at most: every run comes to an end.
Children give one result at most, and are no trouble to the crew."""
PLAIN = Call()


class Peer(asyncio.Protocol):
    """One connection to the sidecar."""

    def __init__(self, on_frame: Callable[[int, int, bytes], None], on_lost: Callable[[], None]) -> None:
        self._on_frame, self._on_lost = on_frame, on_lost
        self._reader = frames.FrameReader()
        self.pipe: Pipe | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, Pipe)
        self.pipe = transport

    def data_received(self, data: bytes) -> None:
        for kind, number, body in self._reader.feed(data):
            self._on_frame(kind, number, bytes(body))

    def connection_lost(self, exc: Exception | None) -> None:
        self.pipe = None
        self._on_lost()

    def send(self, kind: int, number: int = 0, body: bytes = b"") -> None:
        if self.pipe is not None:
            self.pipe.write(frames.frame(kind, number, body))


class FakeRuntime:
    """The runtime's container: a supervisor and its workers. It outlives the sidecar and connects again."""

    def __init__(self, pod: Pod) -> None:
        self._pod, self._world = pod, pod.world
        self.process = Process(f"{pod.name}/runtime")
        self._pids = 0
        self._peer: Peer | None = None
        self._workers: list[FakeWorker] = []
        self.broken = False
        """Whether the handler cannot be imported at present."""
        self._in_process(self._connect)

    def kill(self) -> None:
        """The container dies with everything in it."""
        for worker in list(self._workers):
            worker.die(crashed=True)
        self.process.kill()
        if self._peer is not None and self._peer.pipe is not None:
            self._peer.pipe.vanish()

    def kill_worker(self) -> None:
        """One worker's process dies; the supervisor starts another."""
        if self._workers:
            self._workers[0].die(crashed=True)
            self._worker_ended(self._workers[0])

    def ask_to_drain(self) -> None:
        """The container was asked to stop: tell the sidecar, go on until it says DONE."""
        if self._peer is not None:
            self._peer.send(frames.DRAIN)

    def _in_process(self, work: Callable[..., None], *args: Any) -> None:
        self._world.loop.call_soon(work, *args, context=self.process.context)

    def _later(self, seconds: float, work: Callable[..., None], *args: Any) -> None:
        self._world.loop.call_later(seconds, work, *args, context=self.process.context)

    def _connect(self) -> None:
        peer = Peer(self._frame, self._lost)
        if not self._pod.accept(self.process, peer):
            self._later(RECONNECT_SECONDS, self._connect)
            return
        self._peer = peer
        self._in_process(self._introduce)

    def _introduce(self) -> None:
        assert self._peer is not None
        self._peer.send(frames.HELLO, 0, self.hello("supervisor", 1))
        for _ in range(self._pod.plan.workers):
            self._start_worker()

    def hello(self, role: str, pid: int) -> bytes:
        plan = self._pod.plan
        fields = {"protocol": frames.PROTOCOL, "role": role, "pid": pid, "kind": plan.kind, "credit": plan.credit}
        return json.dumps({**fields, "handler": "simulated.handle", "workers": plan.workers}).encode()

    def _start_worker(self) -> None:
        if self._peer is None or len(self._workers) >= self._pod.plan.workers:
            return
        if self.broken:
            failure = {"type": "ModuleNotFoundError", "message": "no module", "mro": ["ImportError", "Exception"]}
            self._peer.send(frames.FAILED, 0, json.dumps(failure).encode())
            self._later(1.0, self._start_worker)
            return
        self._pids += 1
        worker = FakeWorker(self._pod, self, 1 + self._pids)
        if self._pod.accept(worker.process, worker.peer):
            self._workers.append(worker)
            self._world.note(worker.process.name, "starts")
            worker.introduce()
        else:
            self._later(RECONNECT_SECONDS, self._start_worker)

    def _frame(self, kind: int, number: int, body: bytes) -> None:
        assert self._peer is not None
        if kind == frames.PING:
            self._peer.send(frames.PONG)
        elif kind == frames.REPLACE:
            pid = json.loads(body)["pid"]
            for worker in [worker for worker in self._workers if worker.pid == pid]:
                worker.die(crashed=False)
                self._worker_ended(worker)
        elif kind == frames.DONE:
            self._pod.runtime_done()

    def _worker_ended(self, worker: FakeWorker) -> None:
        if worker in self._workers:
            self._workers.remove(worker)
            self._later(RESTART_SECONDS, self._start_worker)

    def worker_lost(self, worker: FakeWorker) -> None:
        """A worker's connection is gone: it ends, and with a living sidecar another comes."""
        worker.die(crashed=False)
        self._in_process(self._worker_ended, worker)

    def _lost(self) -> None:
        self._peer = None
        for worker in list(self._workers):
            worker.die(crashed=False)
        self._workers.clear()
        self._later(RECONNECT_SECONDS, self._connect)


class FakeWorker:
    """One process that calls the handler: one call at a time, or several where the handler is async."""

    def __init__(self, pod: Pod, runtime: FakeRuntime, pid: int) -> None:
        self._pod, self._world, self._runtime, self.pid = pod, pod.world, runtime, pid
        self.process = Process(f"{pod.name}/worker-{pid}")
        self.peer = Peer(self._frame, lambda: runtime.worker_lost(self))
        self._queue: deque[tuple[int, bytes]] = deque()
        self._running: dict[int, tuple[asyncio.Task[None], CallFact]] = {}

    def introduce(self) -> None:
        """Say who this is, in its own process."""
        hello = self._runtime.hello("worker", self.pid)
        self._world.loop.call_soon(self.peer.send, frames.HELLO, 0, hello, context=self.process.context)

    def die(self, *, crashed: bool) -> None:
        """End as SIGKILL does."""
        if not self.process.alive:
            return
        self._world.note(self.process.name, "crashes" if crashed else "ends")
        if crashed:
            heard = max(self._world.loop.time(), self._pod.stalled_until)
            self._world.facts.crashes[self._pod.view.name] = heard
        self.process.kill()
        if self.peer.pipe is not None:
            self.peer.pipe.vanish()

    def _frame(self, kind: int, number: int, body: bytes) -> None:
        if kind == frames.CALL:
            self._queue.append((number, body))
            self._next()
        elif kind == frames.CANCEL:
            self._cancel(number)

    def _next(self) -> None:
        most = self._pod.plan.credit if self._pod.plan.kind == "async" else 1
        while self._queue and len(self._running) < most:
            number, body = self._queue.popleft()
            size = int.from_bytes(body[:4], "big")
            meta, payload = json.loads(body[4 : 4 + size]), json.loads(body[4 + size :])
            actor = self._pod.plan.name
            attempt = attempt_of(meta, actor, terminal=actor in (SINK, SUMP))
            fact = self._world.begin_call(self._pod, meta, attempt)
            script = self._script(meta, payload, attempt)
            work = self._call(number, meta, payload, script, fact)
            self._running[number] = (self._world.loop.create_task(work, context=self.process.context), fact)

    def _cancel(self, number: int) -> None:
        if number in self._running:
            task, fact = self._running[number]
            if fact.end != "stuck":
                task.cancel()
                self._over(number, frames.ERROR, _error({"type": "asya.Canceled", "mro": ("Exception",)}))
            return
        for queued in [each for each in self._queue if each[0] == number]:
            self._queue.remove(queued)
            self._over(number, frames.ERROR, _error({"type": "asya.Canceled", "mro": ("Exception",)}))

    def _over(self, number: int, kind: int, body: bytes = b"") -> None:
        self._running.pop(number, None)
        self.peer.send(kind, number, body)
        self._next()

    def _script(self, meta: dict[str, Any], payload: Any, attempt: int) -> Call:
        plan = self._world.message_of(payload)
        calls = plan.calls.get(self._pod.plan.name, ()) if plan is not None else ()
        hop = hop_of(meta)
        child = isinstance(payload, dict) and payload.get("child")
        if not calls or (CALM_HOP <= hop < 900) or (child and self._pod.plan.name in (SINK, SUMP)):
            return PLAIN
        call = calls[min(attempt, len(calls)) - 1]
        return PLAIN if call.results > 1 and (child or hop >= FAN_OUT_HOP) else call

    async def _call(self, number: int, meta: dict[str, Any], payload: Any, script: Call, fact: CallFact) -> None:
        actor = self._pod.plan.name
        if actor in (SINK, SUMP):
            await self._crew(number, meta, script, fact)
            return
        single = script.results == 1 and script.end == "ok"
        for index in range(script.results):
            await asyncio.sleep(script.pace)
            changes = _changes(meta, script, index)
            result = {**(payload if isinstance(payload, dict) else {}), "by": actor, "index": index}
            if index:
                result["child"] = True
            if script.size:
                result["pad"] = "x" * script.size
            fact.emitted.append((changes, result))
            body = _result(changes, result)
            if single:
                fact.end = "ok"
                self._over(number, frames.RESULT, body)
                return
            self.peer.send(frames.CHUNK, number, body)
        await asyncio.sleep(script.pace)
        await self._end(number, script, fact)

    async def _end(self, number: int, script: Call, fact: CallFact) -> None:
        if script.end == "ok":
            fact.end = "ok"
            self._over(number, frames.END)
        elif script.end in ("error", "nan"):
            kind = script.error if script.end == "error" else "ResultNotSerializable"
            fact.end = script.end
            fact.failure = {"type": kind, "mro": MRO.get(kind, ("Exception",)), "message": "as planned"}
            if script.end == "error":
                fact.failure |= {"retry_after": script.retry_after, "retryable": script.retryable}
            self._over(number, frames.ERROR, _error(fact.failure))
        elif script.end == "hang":
            if script.at:
                fact.end = "stuck"
            await asyncio.get_running_loop().create_future()
        elif script.end == "crash":
            self._world.loop.call_soon(self._crash, context=self._runtime.process.context)
        else:
            self._world.kill_pod(self._pod)

    def _crash(self) -> None:
        self.die(crashed=True)
        self._runtime._worker_ended(self)

    async def _crew(self, number: int, meta: dict[str, Any], script: Call, fact: CallFact) -> None:
        await asyncio.sleep(script.pace)
        if script.end != "ok":
            await self._end(number, script, fact)
            return
        self._world.facts.stored.add((self._pod.plan.name, meta["id"]))
        hooks = list(self._pod.plan.hooks)
        fact.end = "ok"
        if hooks and SINK not in meta["route"].get("prev", []):
            fact.emitted.append(({"next": hooks}, {}))
            self._over(number, frames.RESULT, _result({"next": hooks}, {}))
        else:
            self._over(number, frames.END)


def _changes(meta: dict[str, Any], script: Call, index: int) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if index >= min(script.at, script.results - 1):
        if script.next is not None:
            changes["next"] = list(script.next)
        if script.headers:
            changes["headers"] = {**meta.get("headers", {}), **script.headers}
    return changes


def _result(changes: dict[str, Any], payload: Any) -> bytes:
    head = json.dumps(changes).encode() if changes else b""
    return len(head).to_bytes(4, "big") + head + json.dumps(payload).encode()


def _error(failure: dict[str, Any]) -> bytes:
    return json.dumps(failure).encode()
