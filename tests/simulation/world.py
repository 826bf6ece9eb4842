"""A run: the plan carried out, the story of it, and what was wrong."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.simulation import messages
from tests.simulation.eventloop import Process, SimulationLoop, StuckError
from tests.simulation.facts import CallFact, Facts, hop_of
from tests.simulation.fake_gateway import FakeGateway
from tests.simulation.faults import strike
from tests.simulation.oracle import Oracle
from tests.simulation.plan import HORIZON, MessagePlan, Plan
from tests.simulation.pods import NAMES, Pod, WatchedTransport
from tests.simulation.virtual import WallClock, virtual_time

from asya.errors import ConnectionLostError
from asya.transports import Settle
from asya.transports.memory import MemoryBroker
from asya.transports.memory.broker import Lease, MemoryQueue

LEASE_SECONDS = 3.0
HEALED = HORIZON + 8.0
"""From this second on nothing goes wrong any more."""
PATIENCE = 1500.0
"""Seconds after which everything must have come to an end."""


@dataclass
class Outcome:
    """How a run ended. `story` is empty unless it was asked for; `digest` is of the story all the same."""

    plan: Plan
    violations: list[str]
    rows: dict[str, int]
    digest: str
    steps: int
    seconds: float
    ended: int
    story: list[str] = field(default_factory=list)


class ObservedBroker(MemoryBroker):
    """The in-memory broker; the oracle sees what it does."""

    def __init__(self, world: World, *, lease_seconds: float | None, atomic: bool) -> None:
        super().__init__(lease_seconds=lease_seconds, atomic=atomic)
        self._world = world
        self._actors: dict[str, str] = {}

    def declare(self, actor: str, limit: int) -> None:
        """Make a queue."""
        name = NAMES.queue(actor)
        self.queues[name] = MemoryQueue(limit)
        self._actors[name] = actor

    def publish(self, name: str, body: bytes, delay: float) -> None:
        super().publish(name, body, delay)
        self._world.oracle.arrives(self._actors[name], body, delay)

    def confirm(self) -> None:
        try:
            super().confirm()
        except ConnectionLostError:
            self._world.facts.disturbances += 1
            raise

    def settle(self, lease: Lease, settle: Settle, reason: str = "") -> None:
        self._world.oracle.settles(lease, settle)
        super().settle(lease, settle, reason)

    def end(self, lease: Lease) -> None:
        self._world.facts.disturbances += 1
        super().end(lease)
        if lease.message in lease.queue.dead:
            self._world.oracle.dead(lease)


class World:
    """Everything in one run."""

    def __init__(self, plan: Plan, transport: type[WatchedTransport], *, keep_story: bool) -> None:
        self.plan, self.transport = plan, transport
        self.loop = SimulationLoop(f"order/{plan.seed}")
        self.wall = WallClock(self.loop)
        self.facts = Facts()
        self._digest = hashlib.sha256()
        self._story: list[str] | None = [] if keep_story else None
        self._pending: list[tuple[float, str, str, tuple[Any, ...]]] = []
        self.over = False
        self.broker_process = Process("broker")
        self.oracle = Oracle(self.loop, self.wall, self.facts, self.note, self._stop, self.descends)
        leased = plan.broker != "rabbitmq"
        self.broker = ObservedBroker(
            self, lease_seconds=LEASE_SECONDS if leased else None, atomic=plan.broker == "sqlite"
        )
        self.gateway = FakeGateway(self)
        self.broken_imports = 0.0
        self._origins = {messages.id_of(message.number): message.number for message in plan.messages}
        self._by_number = {message.number: message for message in plan.messages}
        self._unsent = len(plan.messages)
        self.pods: dict[str, Pod] = {}

    # -- what the parts of the world ask for

    def chance(self, name: str) -> random.Random:
        """Return a generator of its own for everything that draws, so that taking one thing away moves no other."""
        return random.Random(f"{self.plan.seed}/{name}")

    def note(self, who: str, text: str, *args: Any) -> None:
        """Add a line to the story."""
        line = f"{self.loop.time():10.4f}  {who:<18} {text % args if args else text}"
        self._digest.update(line.encode())
        if self._story is not None:
            self._story.append(line)

    def in_world(self, work: Callable[..., Any], *args: Any) -> None:
        """Do something outside every process."""
        self.loop.call_soon(work, *args, context=self.loop.world.context)

    def at_broker(self, seconds: float, work: Callable[..., Any], *args: Any) -> None:
        """Do something at the broker, `seconds` from now."""
        self.loop.call_later(seconds, work, *args, context=self.broker_process.context)

    def begin_call(self, pod: Pod, meta: dict[str, Any], attempt: int) -> CallFact:
        """Note that a handler's process has begun a call."""
        fact = CallFact(self.loop.time())
        key = (pod.view.name, meta["id"], hop_of(meta), attempt)
        self.facts.calls.setdefault(key, []).append(fact)
        self.note(pod.view.name, "calls the handler with %s, attempt %d", meta["id"], attempt)
        return fact

    def message_of(self, payload: Any) -> MessagePlan | None:
        """Return the plan's message that a payload came of."""
        return self._by_number.get(payload.get("m", -1)) if isinstance(payload, dict) else None

    def number_of(self, envelope_id: str) -> int | None:
        """Return the number of the plan's message that an envelope came of."""
        return self._origins.get(envelope_id)

    def descends(self, envelope: dict[str, Any]) -> None:
        """Note whose child an envelope is."""
        parent = envelope.get("parent_id")
        if parent in self._origins:
            self._origins.setdefault(str(envelope.get("id")), self._origins[parent])

    def kill_pod(self, pod: Pod) -> None:
        """A handler brings its whole pod down."""
        self.in_world(pod.kill, 0.5)

    def cut(self, pod: Pod, seconds: float, *, broker_notices: float = 0.001) -> None:
        """Break a sidecar's connection for `seconds`; the broker may notice later."""
        transport, wire, process = pod.transport, pod.wire, pod.process
        if transport is None or wire is None or not wire.connected or self.over:
            return
        self.note(process.name, "loses its connection for %.2f s", seconds)
        self.facts.disturbances += 1
        wire.cut()
        self.loop.call_soon(transport.link.set, False, "cut", context=process.context)
        end_leases = self.broker.lease_seconds is None
        self.at_broker(min(broker_notices, seconds), lambda: transport.hang_up(end_leases=end_leases))

        def mend() -> None:
            if process.alive:
                wire.mend()
                self.at_broker(0.0, transport.pick_up)
                self.loop.call_soon(transport.link.set, True, context=process.context)

        self.loop.call_later(seconds + 0.01, mend, context=self.loop.world.context)

    def gone(self, transport: WatchedTransport) -> None:
        """A sidecar's process has ended: the broker sees its connection end."""
        self.facts.disturbances += 1
        end_leases = self.broker.lease_seconds is None
        self.at_broker(0.002, lambda: transport.hang_up(end_leases=end_leases, for_good=True))

    # -- the run

    def run(self) -> Outcome:
        """Carry the plan out."""
        asyncio.set_event_loop(None)
        self.loop.set_exception_handler(self._on_exception)
        with virtual_time(self.loop, self.wall, f"random/{self.plan.seed}"):
            task = self.loop.create_task(self._live(), context=self.loop.world.context)
            task.add_done_callback(lambda _: self.loop.stop())
            try:
                self.loop.run_forever()
                if task.done():
                    task.result()
            except StuckError as error:
                self.oracle.violations.append(str(error))
            self.over = True
            self.loop.set_exception_handler(lambda *_: None)
        # Else it warns when it is collected, in the middle of whatever runs then.
        self.loop.close()
        return Outcome(
            self.plan, self.oracle.violations, self.facts.rows, self._digest.hexdigest(), self.loop.steps,
            self.loop.time(), len(self.oracle.ends), self._story or [],
        )  # fmt: skip

    async def _live(self) -> None:
        for actor in self.plan.actors:
            self.broker.declare(actor.name, self.plan.delivery_limit)
        for actor in self.plan.actors:
            for index in range(actor.pods):
                pod = Pod(self, actor, index)
                self.pods[pod.name] = pod
                pod.start()
        for message in self.plan.messages:
            self.loop.call_at(message.at, self._send, message)
        for fault in self.plan.faults:
            self.loop.call_at(fault.at, strike, self, fault)
        await asyncio.sleep(HEALED)
        while not self._is_quiet():
            if self.loop.time() > PATIENCE:
                self.oracle.violation(f"never quiet: {self._unfinished()}")
                return
            await asyncio.sleep(1.0)
        self.note("world", "is quiet")
        self.over = True
        for pod in self.pods.values():
            pod.stop()
        await asyncio.sleep(self.plan.drain_seconds + 5.0)
        self._check_ends()

    def _send(self, message: MessagePlan) -> None:
        to = message.to or message.route[0]
        if NAMES.queue(to) not in self.broker.queues:
            self.loop.call_later(0.5, self._send, message)
            return
        self._unsent -= 1
        body, row = messages.body_of(message, self.wall.now())
        if row:
            self.facts.broken[body] = row
        self.note("client", "sends message %d %s to %s", message.number, row, to)
        self.at_broker(0.001, self.broker.publish, NAMES.queue(to), body, 0.0)

    def _is_quiet(self) -> bool:
        queues = self.broker.queues.values()
        return not self._unsent and not any(queue.ready or queue.out or queue.delayed for queue in queues)

    def _unfinished(self) -> str:
        found = [
            f"{name}: {len(queue.ready)} ready, {len(queue.out)} out, {len(queue.delayed)} delayed"
            for name, queue in self.broker.queues.items()
            if queue.ready or queue.out or queue.delayed
        ]
        found += [
            f"{pod.name}: holds {pod.held}, {pod.problems}" for pod in self.pods.values() if pod.held or pod.problems
        ]
        return "; ".join(found)

    def _check_ends(self) -> None:
        for name, queue in self.oracle.seen.items():
            if name not in self.oracle.ends:
                self.oracle.violation(f"{name}, last seen in the queue of {queue}, has come to no end: it is lost")
        repeated = {"stream-failed", "sigterm", "runtime-away", "redelivered"} & self.facts.rows.keys()
        if not self.facts.disturbances and not repeated:
            for name, ends in self.oracle.ends.items():
                if len(ends) > 1:
                    self.oracle.violation(f"{name} ended {len(ends)} times, and nothing had been disturbed: {ends}")

    def _stop(self) -> None:
        self.loop.stop()

    def _on_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and "never retrieved" not in context["message"]:
            self.oracle.violation(f"an error nobody caught: {context['message']}: {error!r}")


def run(plan: Plan, transport: type[WatchedTransport] = WatchedTransport, *, keep_story: bool = False) -> Outcome:
    """Carry out a plan in a world of its own."""
    logging.disable(logging.CRITICAL)
    try:
        return World(plan, transport, keep_story=keep_story).run()
    finally:
        gc.collect()  # now, not in the middle of somebody else's work
        logging.disable(logging.NOTSET)
