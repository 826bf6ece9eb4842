"""Processes and the broker die while messages flow: nothing is lost, and what happens twice is counted.

500 messages pass two actors with real sidecar and runtime processes. On the way a worker, a supervisor and both
sidecars get ``kill -9``, and RabbitMQ is ended and started again. Where processes are replaced, the harness does it as
a kubelet would. Afterwards every message came to the sink, and every queue is empty, dead letters included.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support import mesh
from tests.support.mesh import Mesh, Pod
from tests.support.processes import until
from tests.support.rabbitmq import Broker

from asya.errors import TransportError
from asya.settings import load
from asya.transports.base import Delivery, Outgoing, QueueSpec, Transport
from asya.transports.registry import open_transport
from asya.transports.settings import TransportSettings
from asya.wire import Envelope, decode, encode, new_envelope, raw

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

TOTAL = 500
IN_FLIGHT = 8
ACTORS = ("first", "second")
QUEUES = (*ACTORS, "x-sink", "x-sump")
HANDLERS = Path(__file__).parent / "handlers"
WORK_SECONDS = 0.005
FLOW_SECONDS = 60.0
# Crashes count as attempts; a message must not run out of them only because it was there at several crashes.
POLICIES = '{"default": {"maxAttempts": 20, "backoff": "constant", "initialDelay": "200ms", "jitter": false}}'
SIDECAR = {
    "ASYA_RESILIENCY_POLICIES": POLICIES,
    "ASYA_CONCURRENCY": str(IN_FLIGHT),
    "ASYA_PREFETCH": str(IN_FLIGHT),
    # A lease of the embedded queue that nobody extends ends soon, so that the test need not wait half a minute.
    "ASYA_SQLITE_LEASE": "2s",
}


@dataclass
class Flow:
    """500 messages on their way through two pods."""

    transport: Transport
    mesh: Mesh
    record: Path
    first: Pod
    second: Pod
    sent: set[str] = field(default_factory=set)
    kills: int = 0
    began: float = field(default_factory=time.monotonic)

    def calls(self) -> Counter[tuple[str, int]]:
        """How often each message was given to each handler."""
        lines = self.record.read_text().splitlines() if self.record.exists() else []
        return Counter((stage, int(number)) for stage, number, _ in map(str.split, lines))

    async def reached(self, stage: str, part: float) -> None:
        """Wait until the handler of `stage` has seen this part of the messages; the flow must not be over then."""
        await until(lambda: self._seen_by(stage) >= TOTAL * part, within=FLOW_SECONDS, what=self._explain)
        assert self._seen_by("second") < TOTAL, "nothing is under way any more"
        self.kills += 1

    async def arrivals(self) -> list[Envelope]:
        """Take from the sink's queue until every message was there and nothing is left anywhere."""
        arrived: list[Envelope] = []
        transport = self.transport

        def on_delivery(delivery: Delivery) -> None:
            arrived.append(decode(delivery.body))
            transport.complete(delivery).add_done_callback(lambda done: done.result())

        async def finished() -> bool:
            return {envelope.id for envelope in arrived} >= self.sent and await self._all_empty()

        await until(self._first_pass_over, within=FLOW_SECONDS, what=self._explain)
        consumer = await transport.consume("x-sink", IN_FLIGHT, on_delivery)
        await until(finished, within=FLOW_SECONDS, what=lambda: f"{len(arrived)} arrived; {self._explain()}")
        await consumer.close()
        return arrived

    def _seen_by(self, stage: str) -> int:
        self.mesh.check()
        return sum(1 for name, _ in self.calls() if name == stage)

    async def _first_pass_over(self) -> bool:
        self.mesh.check()
        try:
            return (await self.transport.depth(["x-sink"]))["x-sink"].ready >= TOTAL
        except TransportError:  # the broker is away just now
            return False

    async def _all_empty(self) -> bool:
        try:
            depths = await self.transport.depth(QUEUES)
        except TransportError:
            return False
        return not any(depth.backlog or depth.delayed for depth in depths.values())

    def _explain(self) -> str:
        stages = Counter(stage for stage, _ in self.calls().elements())
        return f"calls so far: {dict(stages)}\n{self.mesh.tails()}"


@asynccontextmanager
async def flowing(environ: dict[str, str], folder: Path) -> AsyncIterator[Flow]:
    """Queues, pods and 500 messages."""
    settings = {**environ, **SIDECAR}
    transport = open_transport(load(TransportSettings, settings))
    await transport.open()
    try:
        await transport.declare([QueueSpec(actor) for actor in QUEUES])
        envelopes = [new_envelope(list(ACTORS), raw({"n": number}), now=time.time()) for number in range(TOTAL)]
        for start in range(0, TOTAL, 100):
            await transport.publish([Outgoing("first", encode(each)) for each in envelopes[start : start + 100]])
        async with Mesh(folder / "logs", settings) as running:
            record = folder / "calls"
            runtime = {
                "TEST_RECORD": str(record),
                "TEST_WORK_SECONDS": str(WORK_SECONDS),
                # Calls are sent ahead, so that a worker dies with some that it has and has not begun.
                "ASYA_PIPELINE": str(IN_FLIGHT - 1),
            }
            first, second = (
                running.pod(name, f"recorder.{name}", modules=[HANDLERS], runtime=runtime) for name in ACTORS
            )
            await asyncio.gather(first.start(), second.start())
            yield Flow(transport, running, record, first, second, sent={envelope.id for envelope in envelopes})
            running.check()
    finally:
        await transport.close()


async def account(flow: Flow, record_property: Callable[[str, object], None]) -> Counter[str]:
    """Check that nothing is lost; return how often something happened twice."""
    arrived = await flow.arrivals()
    times = Counter(envelope.id for envelope in arrived)
    calls = flow.calls()
    counts = Counter(
        lost=len(flow.sent - times.keys()),
        foreign=len(times.keys() - flow.sent),
        arrived_twice=sum(times.values()) - len(times),
        called_twice=sum(calls.values()) - len(calls),
        failed=sum(envelope.status is None or envelope.status.phase != "succeeded" for envelope in arrived),
    )
    depths = await flow.transport.depth(QUEUES)
    print(
        f"{TOTAL} messages, {flow.kills} kills, {time.monotonic() - flow.began:.1f} s: {dict(counts)}; "
        f"exits {[process.exits for pod in (flow.first, flow.second) for process in pod.processes]}"
    )
    for name, value in counts.items():
        record_property(name, value)
    assert counts["lost"] == counts["foreign"] == counts["failed"] == 0
    assert {actor: depth.dead for actor, depth in depths.items()} == dict.fromkeys(QUEUES, 0)
    assert len(calls) == TOTAL * len(ACTORS)
    return counts


async def kill_processes(flow: Flow) -> None:
    """``kill -9`` of a worker, a supervisor and both sidecars, spread over the flow."""
    await flow.reached("first", 0.1)
    killed = flow.first.kill_worker()
    await until(
        lambda: flow.first.runtime.running and killed not in flow.first.workers() and bool(flow.first.workers()),
        within=20,
        what="the supervisor starts another worker",
    )
    await flow.reached("second", 0.2)
    await flow.second.runtime.kill()
    await flow.reached("first", 0.4)
    await flow.first.sidecar.kill()
    await flow.reached("second", 0.6)
    await flow.second.sidecar.kill()


@pytest.fixture
def own_broker() -> Iterator[Broker]:
    """A node that this test may end."""
    with Broker() as broker:
        yield broker


async def test_sqlite_kills(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    async with flowing(mesh.sqlite(tmp_path / "queue.sqlite"), tmp_path) as flow:
        await kill_processes(flow)
        counts = await account(flow, record_property)
    # Publishing and settling are one transaction, so a hop happens exactly once; only a call can be repeated.
    assert counts["arrived_twice"] == 0
    assert counts["called_twice"] <= flow.kills * IN_FLIGHT


@pytest.mark.rabbitmq
async def test_rabbitmq_kills(
    own_broker: Broker, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async with flowing(mesh.rabbitmq(own_broker.url), tmp_path) as flow:
        await kill_processes(flow)
        counts = await account(flow, record_property)
    assert counts["arrived_twice"] <= flow.kills * IN_FLIGHT
    assert counts["called_twice"] <= flow.kills * IN_FLIGHT * len(ACTORS)


@pytest.mark.rabbitmq
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
async def test_rabbitmq_restart(
    own_broker: Broker, number: signal.Signals, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async with flowing(mesh.rabbitmq(own_broker.url), tmp_path) as flow:
        await flow.reached("second", 0.3)
        end: Callable[[], Awaitable[None] | None] = own_broker.stop if number == signal.SIGTERM else own_broker.kill
        await asyncio.to_thread(end)
        await asyncio.to_thread(own_broker.start)
        counts = await account(flow, record_property)
        assert [process.exits for pod in (flow.first, flow.second) for process in pod.processes] == [[], [], [], []]
    # Each pod held up to IN_FLIGHT messages when the broker went. All of them come again, and what the first pod had
    # published without hearing of its confirmation comes to the second one twice.
    assert counts["arrived_twice"] <= 2 * IN_FLIGHT
    assert counts["called_twice"] <= 3 * IN_FLIGHT
