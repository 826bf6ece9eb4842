"""Workers under measurement, ours and the others, behind one face: prepare queues, start, process ids, stop."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.support.mesh import Mesh, Pod, environment, rabbitmq
from tests.support.processes import Process

from asya.settings import load
from asya.transports.base import QueueSpec, Transport
from asya.transports.registry import open_transport
from asya.transports.settings import TransportSettings
from asya.wire import encode, new_envelope
from asya.wire.envelope import Raw
from benchmarks.alternatives.contract_id import MESSAGE_ID
from benchmarks.amqp import Way
from benchmarks.kinds import FRAMEWORKS, PREFETCH, Kind
from benchmarks.payload import payload

SCRIPTS = Path(__file__).parent / "alternatives"
HANDLERS = Path(__file__).parent / "handlers"
NAMESPACE, ACTOR, NEXT = "bench", "bench", "bench-out"
QUEUES = (ACTOR, NEXT, "x-sink", "x-sump")
_POLICIES = '{"default": {"maxAttempts": 5, "initialDelay": "1s"}, "model": {"maxAttempts": 3}}'
_RULES = '[{"errors": ["ModelError"], "policy": "model"}]'
_HEADERS = {
    "traceparent": Raw(b'"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"'),
    "x-asya-hop": Raw(b"2"),
    "tenant": Raw(b'"acme"'),
}
_DEADLINE = 6 * 3600.0


@dataclass(frozen=True)
class PodSettings:
    """The environment of our pods, in one place: as deployed, every feature on but tracing.

    Metrics are counted and served, health is served, errors have policies, calls have a time limit.
    """

    engine: str | None = None
    prefetch: int = PREFETCH
    concurrency: int = PREFETCH

    def sidecar(self) -> dict[str, str]:
        words = {"ASYA_CONCURRENCY": str(self.concurrency), "ASYA_PREFETCH": str(self.prefetch)}
        words |= {"ASYA_METRICS_ADDR": "127.0.0.1:0", "ASYA_HEALTH_ADDR": "127.0.0.1:0"}
        words |= {"ASYA_RESILIENCY_POLICIES": _POLICIES, "ASYA_RESILIENCY_RULES": _RULES}
        words |= {"ASYA_RESILIENCY_ACTOR_TIMEOUT": "60s", "ASYA_LOG_LEVEL": "warning"}
        return words | ({} if self.engine is None else {"ASYA_RABBITMQ_ENGINE": self.engine})

    def runtime(self) -> dict[str, str]:
        return {"ASYA_PIPELINE": str(max(0, self.concurrency - 1))}


@dataclass(frozen=True)
class Lane:
    """Two queues and the way into the first of them."""

    url: str
    source: str
    target: str
    way: Way


class Worker(Protocol):
    """A worker that serves a lane."""

    async def start(self) -> None:
        """Start its processes."""

    async def stop(self) -> None:
        """Stop it in order."""

    def pids(self) -> Mapping[str, int]:
        """Its processes: id of the topmost one, by name."""

    def tail(self) -> str:
        """The end of its logs, for a failure's message."""


class Ours:
    """One pod."""

    def __init__(
        self,
        environ: Mapping[str, str],
        folder: Path,
        settings: PodSettings,
        handler: str = "noop.handle",
        *,
        actor: str = ACTOR,
        **more: str,
    ) -> None:
        self._mesh = Mesh(folder, environ)
        self.pod: Pod = self._mesh.pod(
            actor,
            handler,
            modules=[HANDLERS],
            sidecar=settings.sidecar(),
            runtime={**settings.runtime(), **more},
            restart=False,
        )

    async def start(self) -> None:
        await self.pod.start()

    async def stop(self) -> None:
        await self.pod.stop()

    def pids(self) -> Mapping[str, int]:
        return {"sidecar": self.pod.sidecar.pid, "runtime": self.pod.runtime.pid}

    def tail(self) -> str:
        return self._mesh.tails()


class Theirs:
    """One worker of another kind, in the environment of the alternatives."""

    def __init__(self, kind: Kind, lane: Lane, queue_type: str, variant: str, python: Path, folder: Path, **more: str):
        self._process = Process(
            kind.name,
            [str(python), str(SCRIPTS / f"{kind.script}.py"), "work"],
            script_environment(lane.url, queue_type, variant, **more),
            folder / f"{kind.script}.log",
            restart=False,
        )

    async def start(self) -> None:
        await self._process.start()

    async def stop(self) -> None:
        await self._process.stop()

    def pids(self) -> Mapping[str, int]:
        return {"worker": self._process.pid}

    def tail(self) -> str:
        return self._process.tail()


def script_environment(url: str, queue_type: str, variant: str, **more: str) -> dict[str, str]:
    """What `alternatives.contract` reads."""
    return environment(
        {
            "BENCH_URL": url,
            "BENCH_SOURCE": "bench.in",
            "BENCH_TARGET": "bench.out",
            "BENCH_QUEUE_TYPE": queue_type,
            "BENCH_PREFETCH": str(PREFETCH),
            "BENCH_VARIANT": variant,
        },
        more,
    )


async def prepare_theirs(kind: Kind, url: str, queue_type: str, sizes: tuple[int, ...], python: Path) -> Lane:
    """Have a framework make its queues and say how its messages look.

    Raises:
        RuntimeError: It could not.
    """
    # The bare loops move our message, so that the broker has the same to do; a framework makes its own.
    made = payload if kind in FRAMEWORKS else envelope
    values = b"[" + b",".join(made(size) for size in sizes) + b"]"
    found = await describe(kind, script_environment(url, queue_type, kind.variants[0]), values, python)
    bodies = [base64.b64decode(body) for body in found["bodies"]]
    way = Way(found["exchange"], found["key"], found["properties"], dict(zip(sizes, bodies, strict=True)))
    return Lane(url, "bench.in", "bench.out", way)


async def describe(kind: Kind, environ: Mapping[str, str], values: bytes, python: Path) -> dict[str, Any]:
    """Return what a script says about its messages. `values`: a JSON list of what they are to hold.

    Raises:
        RuntimeError: It failed.
    """
    process = await asyncio.create_subprocess_exec(
        str(python), str(SCRIPTS / f"{kind.script}.py"), "describe",
        env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    output, said = await process.communicate(values)
    if process.returncode:
        raise RuntimeError(f"{kind.name} could not make its queues:\n{said.decode()[-2000:]}")
    return dict(json.loads(output))


def our_environment(url: str, queue_type: str) -> dict[str, str]:
    """Settings that lead a sidecar to a lane."""
    return rabbitmq(url, NAMESPACE, ASYA_RABBITMQ_QUEUE_TYPE=queue_type)


async def open_ours(environ: Mapping[str, str], actors: tuple[str, ...] = QUEUES) -> Transport:
    """Make queues as the platform would."""
    transport = open_transport(load(TransportSettings, environ))
    await transport.open()
    await transport.declare([QueueSpec(actor) for actor in actors])
    return transport


def envelope(size: int, actor: str = ACTOR) -> bytes:
    """An envelope with one more actor to visit, headers, a deadline, and the id that is replaced in each message."""
    now = time.time()
    made = new_envelope(
        [actor, NEXT],
        Raw(payload(size)),
        now=now,
        envelope_id=MESSAGE_ID,
        headers=_HEADERS,
        deadline_at=now + _DEADLINE,
    )
    return encode(made)


async def prepare_ours(url: str, queue_type: str, sizes: tuple[int, ...], actor: str = ACTOR) -> Lane:
    """Make our queues and say how our messages look."""
    transport = await open_ours(our_environment(url, queue_type), (actor, *QUEUES[1:]))
    await transport.close()
    properties = {"delivery_mode": 2, "content_type": "application/json"}
    way = Way(f"asya_{NAMESPACE}", actor, properties, {size: envelope(size, actor) for size in sizes})
    return Lane(url, f"asya_{NAMESPACE}_{actor}", f"asya_{NAMESPACE}_{NEXT}", way)
