"""One pod: the real sidecar, put together as its process does it, beside a simulated runtime."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tests.simulation.eventloop import Process
from tests.simulation.fake_network import BrokerWire, Pipe, connect
from tests.simulation.fake_runtime import FakeRuntime
from tests.simulation.oracle import Oracle, PodView
from tests.simulation.plan import ActorPlan

import asya.policy
from asya.policy import Resiliency
from asya.policy.resiliency import Rule
from asya.settings import load
from asya.transports import Consumer, Delivery, Outgoing, QueueNames, Settle
from asya.transports.memory import MemoryTransport
from asya_sidecar.carry import Carrier
from asya_sidecar.decide import Actor
from asya_sidecar.link import RuntimeLink
from asya_sidecar.link.server import SOCKET_NAME
from asya_sidecar.loop import Loop
from asya_sidecar.settings import SidecarSettings

if TYPE_CHECKING:
    from tests.simulation.world import World

NAMES = QueueNames("s")


class WatchedTransport(MemoryTransport):
    """The in-memory transport; whatever is asked of it is shown to the oracle."""

    def __init__(self, oracle: Oracle, view: PodView, wire: BrokerWire, **more: Any) -> None:
        super().__init__(NAMES, wire=wire, **more)
        self._oracle, self._view = oracle, view

    async def consume(self, actor: str, credit: int, on_delivery: Callable[[Delivery], None]) -> Consumer:
        def watched(delivery: Delivery) -> None:
            self._oracle.delivered(self._view, delivery)
            on_delivery(delivery)

        return await super().consume(actor, credit, watched)

    def publish(self, messages: Sequence[Outgoing]) -> asyncio.Future[None]:
        self._oracle.guarded(self._oracle.publishes, self._view, messages)
        future = self._publish_on(messages)
        future.add_done_callback(lambda done: self._published(messages, done))
        return future

    def complete(
        self, delivery: Delivery, messages: Sequence[Outgoing] = (), settle: Settle = Settle.ACK, reason: str = ""
    ) -> asyncio.Future[None]:
        self._oracle.guarded(self._oracle.asks, self._view, delivery, messages, settle)
        future = self._complete_on(delivery, messages, settle, reason)
        future.add_done_callback(lambda done: self._completed(delivery, done))
        return future

    def _publish_on(self, messages: Sequence[Outgoing]) -> asyncio.Future[None]:
        return super().publish(messages)

    def _complete_on(
        self, delivery: Delivery, messages: Sequence[Outgoing], settle: Settle, reason: str
    ) -> asyncio.Future[None]:
        return super().complete(delivery, messages, settle, reason)

    def _published(self, messages: Sequence[Outgoing], done: asyncio.Future[None]) -> None:
        problem = None if done.cancelled() else done.exception()
        if problem is not None:
            for message in messages:
                self._oracle.publish_failed(self._view, message, problem)

    def _completed(self, delivery: Delivery, done: asyncio.Future[None]) -> None:
        self._oracle.told(delivery, asyncio.CancelledError() if done.cancelled() else done.exception())


class SocketPath:
    """A path on no disk, for a socket that only the simulation's loop knows."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def parent(self) -> SocketPath:
        return self

    def __truediv__(self, name: str) -> SocketPath:
        return SocketPath(f"{self._name}/{name}")

    def __fspath__(self) -> str:
        return self._name

    __str__ = __fspath__

    def mkdir(self, **more: bool) -> None:
        """Nothing."""

    def unlink(self, **more: bool) -> None:
        """Nothing."""

    def chmod(self, mode: int) -> None:
        """Nothing."""


class Pod:
    """A sidecar that is started again whenever it ends, and its runtime."""

    def __init__(self, world: World, plan: ActorPlan, index: int) -> None:
        self.world, self.plan = world, plan
        self.name = f"{plan.name}/{index}"
        self.process = Process(self.name)
        self._starts = 0
        self._link: RuntimeLink | None = None
        self._loop: Loop | None = None
        self._transport: WatchedTransport | None = None
        self.wire: BrokerWire | None = None
        self.view = PodView(self.name, plan, dead=True)
        self.runtime: FakeRuntime | None = None
        self.stalled_until = 0.0
        self._pipes: list[Pipe] = []
        self._graveyard: list[Any] = []

    # -- life

    def start(self) -> None:
        """Start a sidecar, and a runtime where there is none."""
        if not self.view.dead or self.world.over:
            return
        self._starts += 1
        self.process = Process(f"{self.name}#{self._starts}")
        world, process = self.world, self.process
        self.view = PodView(self.process.name, self.plan, reports=world.plan.receiver)
        self.view.runtime_missed = world.loop.time()
        chance = world.chance(f"wire/{process.name}")
        self.wire = BrokerWire(world.loop, process, world.broker_process, chance, world.oracle)
        self.wire.on_lost_settlement = lambda: world.cut(self, 0.5)
        world.loop.create_task(self._serve(self.view, self.wire), context=process.context)
        if self.runtime is None:
            self.start_runtime()
        world.note(process.name, "starts")

    def start_runtime(self) -> None:
        """Start the runtime's container."""
        if self.runtime is None and not self.world.over:
            self.runtime = FakeRuntime(self)
            self.runtime.broken = self.world.broken_imports > self.world.loop.time()

    async def _serve(self, view: PodView, wire: BrokerWire) -> None:
        world, plan = self.world, self.plan
        actor = Actor(name=plan.name, resiliency=_resiliency(plan))
        transport = self._transport = world.transport(
            world.oracle, view, wire, broker=world.broker, message_bytes=world.plan.message_bytes
        )
        environ = {"ASYA_ACTOR_NAME": plan.name, "ASYA_NAMESPACE": "s"}
        if plan.prefetch is not None:
            environ["ASYA_PREFETCH"] = str(plan.prefetch)
        settings = load(SidecarSettings, environ)
        carrier = Carrier(
            transport,
            actor,
            destination_wait=world.plan.destination_wait,
            block=lambda reason, blocked: loop.block(reason, blocked),
        )
        reporter = world.gateway.reporter(self, self.process.name) if world.plan.receiver else None
        loop = self._loop = Loop(transport, actor, carrier, reporter, settings, on_failure=lambda: self._failed(loop))
        link = self._link = RuntimeLink(
            SocketPath(self.name),  # type: ignore[arg-type]
            mode=0o600,
            namespace="s",
            actor=plan.name,
            timeout=plan.timeout,
            on_capacity=lambda calls: self._capacity(view, loop, calls),
            on_drain=lambda: world.loop.create_task(self._drain_with_runtime(loop, link)),
            on_supervisor=loop.runtime_started,
        )
        loop.link = link
        await link.open()
        await transport.open()
        await loop.start()

    def _capacity(self, view: PodView, loop: Loop, calls: int) -> None:
        view.runtime_missed = self.world.loop.time() if calls else view.runtime_missed
        if not calls:
            view.runtime_missed = float("inf")
        elif view.runtime_missed == float("inf"):
            view.runtime_missed = self.world.loop.time() + 6.0  # calls that were waiting are given back a little later
        loop.capacity(calls)

    def _failed(self, loop: Loop) -> None:
        self.world.oracle.violation(f"{self.process.name} ended by an error of its own: {loop.failure!r}")

    async def _drain_with_runtime(self, loop: Loop, link: RuntimeLink) -> None:
        self.view.draining = True
        await loop.finish(self.world.plan.drain_seconds)
        link.finish()

    def runtime_done(self) -> None:
        """The sidecar said DONE: the runtime's container ends, and is started again later."""
        self.kill_runtime(2.0)

    def stop(self) -> None:
        """SIGTERM: drain, end, come back."""
        if self.view.dead or self.view.draining or self._loop is None:
            return
        self.view.draining = True
        self.world.note(self.process.name, "is asked to stop")
        work = self._stop(self.process, self._loop, self._link, self._transport)
        self.world.loop.create_task(work, context=self.process.context)

    async def _stop(self, process: Process, loop: Loop, link: Any, transport: Any) -> None:
        try:
            await loop.drain(self.world.plan.drain_seconds)
            await loop.close()
            await link.close()
            await transport.close()
        except Exception as error:  # noqa: BLE001  whatever it is, it is a violation
            self.world.oracle.violation(f"{process.name} cannot stop: {error!r}")
        if process.alive:
            self.world.in_world(self._ended, process)

    def _ended(self, process: Process) -> None:
        self.world.note(process.name, "has stopped")
        self._bury(process)
        if not self.world.over:
            self.world.loop.call_later(1.0, self.start, context=self.world.loop.world.context)

    def kill(self, restart_after: float) -> None:
        """SIGKILL; the broker notices when the connection is gone."""
        if self.view.dead:
            return
        self.world.note(self.process.name, "is killed")
        self._bury(self.process)
        self.world.loop.call_later(restart_after, self.start, context=self.world.loop.world.context)

    def _bury(self, process: Process) -> None:
        """Everything of it stops; the broker's side of its connection ends, and its pipes are seen to end."""
        self.view.dead = True
        process.kill()
        self._graveyard.append((self._loop, self._link, self._transport, self.wire))
        if self.wire is not None:
            self.wire.cut()
        if self._transport is not None:
            self.world.gone(self._transport)
        for pipe in self._pipes:
            pipe.vanish()
        self._pipes.clear()
        self._link = self._loop = self._transport = None

    def kill_runtime(self, restart_after: float) -> None:
        """The runtime's container dies and comes back."""
        if self.runtime is None:
            return
        self.runtime.kill()
        self.runtime = None
        self.world.loop.call_later(restart_after, self.start_runtime, context=self.world.loop.world.context)

    def stall(self, seconds: float) -> None:
        """The sidecar does nothing for a while; what comes for it waits."""
        self.stalled_until = self.world.loop.time() + seconds
        self.world.loop.stall(self.process, seconds)

    # -- connections

    def accept(self, process: Process, protocol: asyncio.Protocol) -> bool:
        """Let a process of the runtime connect; False when nobody listens."""
        listener = self.world.loop.listeners.get(f"{self.name}/{SOCKET_NAME}")
        if self.view.dead or listener is None or listener.owner is not self.process:
            return False
        chance = self.world.chance(f"pipe/{process.name}")
        ours, _ = connect(self.world.loop, chance, (self.process, listener.factory()), (process, protocol))
        self._pipes.append(ours)
        return True

    @property
    def transport(self) -> WatchedTransport | None:
        """The living sidecar's transport."""
        return self._transport

    @property
    def problems(self) -> list[str]:
        """What the living sidecar says it cannot do."""
        return self._loop.problems() if self._loop is not None else ["not running"]

    @property
    def held(self) -> int:
        """How many deliveries the living sidecar has in its hands."""
        return self._loop.held if self._loop is not None else 0


def _resiliency(plan: ActorPlan) -> Resiliency:
    return Resiliency(
        actor_timeout=plan.timeout,
        policies={
            name: asya.policy.Policy(**{field: getattr(policy, field) for field in policy.__struct_fields__})
            for name, policy in plan.policies.items()
        },
        rules=tuple(Rule(errors=errors, policy=policy) for errors, policy in plan.rules),
        non_retryable=plan.non_retryable,
    )
