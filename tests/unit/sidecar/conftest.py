"""One actor in this process: the loop, the link and the carrier as `main` puts them together, on the in-memory broker.

The runtime is the real one, in processes of its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import textwrap
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.support.mesh import runtime_file

from asya.policy import Resiliency
from asya.settings import load
from asya.transports import Outgoing, QueueNames, QueueSpec
from asya.transports.memory import MemoryBroker, MemoryTransport
from asya.wire import Envelope, decode, encode, new_envelope, raw
from asya_sidecar.carry import Carrier
from asya_sidecar.decide import Actor
from asya_sidecar.events import Report
from asya_sidecar.gate import Gate
from asya_sidecar.link import RuntimeLink
from asya_sidecar.loop import Loop
from asya_sidecar.observe import Observer
from asya_sidecar.settings import SidecarSettings

NAMES = QueueNames("d")
QUEUES = ("me", "b", "c", "x-sink", "x-sump")
NOW = 1_800_000_000.0


class RecordingReceiver:
    """A receiver of reports that remembers them; what it is asked to say, it says."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.stops: dict[str, Callable[[], None]] = {}
        self.state: Any = None

    def progress(self, report: Report) -> None:
        self.reports.append(report)

    async def final(self, report: Report) -> bool:
        self.reports.append(report)
        return True

    async def preflight(self, envelope_id: str) -> Any:
        return self.state

    def started(self, envelope_id: str, stop: Callable[[], None]) -> None:
        self.stops[envelope_id] = stop

    def ended(self, envelope_id: str) -> None:
        self.stops.pop(envelope_id, None)

    def receiver(self, envelope: Envelope) -> RecordingReceiver:
        return self


@dataclass
class Bench:
    """The actor, its broker, and means to look at both."""

    folder: Path
    broker: MemoryBroker = field(default_factory=lambda: MemoryBroker(lease_seconds=3.0))
    message_bytes: int = 1024 * 1024
    runtimes: list[asyncio.subprocess.Process] = field(default_factory=list)
    failures: int = 0

    async def start(
        self,
        *,
        actor: str = "me",
        resiliency: Resiliency | None = None,
        reporter: RecordingReceiver | None = None,
        queues: tuple[str, ...] = QUEUES,
        destination_wait: float = 60.0,
        observer: Observer | None = None,
        **environ: str,
    ) -> None:
        self.transport = MemoryTransport(NAMES, broker=self.broker, message_bytes=self.message_bytes)
        await self.transport.open()
        await self.transport.declare([QueueSpec(queue) for queue in queues])
        described = Actor(name=actor, resiliency=resiliency or Resiliency())
        self.gate = Gate(described, observer) if described.resiliency.protects else None
        self.carrier = Carrier(
            self.transport,
            described,
            destination_wait=destination_wait,
            block=lambda *args: self.loop.block(*args),
            gate=self.gate,
        )
        settings = load(SidecarSettings, {"ASYA_ACTOR_NAME": actor, "ASYA_NAMESPACE": "d", **environ})
        self.loop = Loop(
            self.transport, described, self.carrier, reporter, settings, self._failed, observer=observer, gate=self.gate
        )
        self.sockets = Path(tempfile.mkdtemp(prefix="asya-"))
        self.link = RuntimeLink(
            self.sockets,
            mode=0o600,
            actor=actor,
            namespace="d",
            on_capacity=self.loop.capacity,
            on_drain=lambda: None,
            timeout=described.resiliency.actor_timeout,
            on_supervisor=self.loop.runtime_started,
        )
        self.loop.link = self.link
        await self.link.open()
        await self.loop.start()

    def _failed(self) -> None:
        self.failures += 1

    async def handler(self, source: str, name: str = "handle", **environ: str) -> asyncio.subprocess.Process:
        """Write a handler's module and start a runtime for it."""
        (self.folder / "made_up.py").write_text(textwrap.dedent(source))
        env = {
            "PATH": os.environ["PATH"],
            "ASYA_HANDLER": f"made_up.{name}",
            "ASYA_HANDLER_PATH": str(self.folder),
            "ASYA_SOCKET_DIR": str(self.sockets),
            **environ,
        }
        process = await asyncio.create_subprocess_exec(sys.executable, str(runtime_file()), env=env)
        self.runtimes.append(process)
        return process

    async def send(self, payload: Any = None, *route: str, **more: Any) -> str:
        envelope = new_envelope(list(route or ("me", "b")), raw(payload), now=NOW, **more)
        await self.transport.publish([Outgoing("me", encode(envelope))])
        return envelope.id

    def inside(self, actor: str) -> list[Envelope]:
        """What lies ready in a queue."""
        queue = self.broker.queues[NAMES.queue(actor)]
        return [decode(message.body) for message in sorted(queue.ready)]

    async def until(self, condition: Callable[[], Any], within: float = 10.0) -> None:
        """Wait for a condition on the broker's state, looked at every few milliseconds, or fail."""
        async with asyncio.timeout(within):
            while not condition():
                await asyncio.sleep(0.005)

    async def arrives(self, actor: str, count: int = 1, within: float = 10.0) -> list[Envelope]:
        await self.until(lambda: len(self.inside(actor)) >= count, within)
        return self.inside(actor)

    async def counts(self, actor: str = "me") -> tuple[int, int | None, int | None, int | None]:
        depth = (await self.transport.depth([actor]))[actor]
        return depth.ready, depth.in_flight, depth.delayed, depth.dead

    async def stop(self) -> None:
        await self.loop.drain(1.0)
        await self.loop.close()
        await self.link.close()
        await self.transport.close()
        for process in self.runtimes:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                await process.wait()
        assert self.failures == 0, f"an error of ours: {self.loop.failure!r}"


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    await made.stop()


@pytest.fixture
def receiver() -> RecordingReceiver:
    return RecordingReceiver()
