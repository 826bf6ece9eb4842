"""One pod of ours under measurement: a real sidecar and a real runtime, started as a cluster would."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.mesh import Mesh
from tests.support.processes import until

from asya.settings import load
from asya.transports.base import Delivery, Outgoing, QueueSpec, Transport
from asya.transports.registry import open_transport
from asya.transports.settings import TransportSettings
from asya.wire import Envelope, decode, encode, new_envelope
from asya.wire.envelope import Raw
from benchmarks.hops import CountError, Hops, measure
from benchmarks.payload import payload
from benchmarks.procfs import resident_mib

HANDLERS = Path(__file__).parent / "handlers"
SOURCE, TARGET = "bench", "bench-out"
QUEUES = (SOURCE, TARGET, "x-sink", "x-sump")
IN_FLIGHT = 100
SIDECAR = {"ASYA_CONCURRENCY": str(IN_FLIGHT), "ASYA_PREFETCH": str(IN_FLIGHT), "ASYA_LOG_LEVEL": "warning"}
RUNTIME = {"ASYA_PIPELINE": str(IN_FLIGHT - 1)}
_CHUNK = 200


@dataclass(frozen=True)
class PodRound:
    """One round of a pod: its hops, and the sidecar's resident memory at the end, in MiB."""

    hops: Hops
    resident_mib: float


async def _open(environ: Mapping[str, str]) -> Transport:
    transport = open_transport(load(TransportSettings, environ))
    await transport.open()
    await transport.declare([QueueSpec(actor) for actor in QUEUES])
    return transport


async def _fill(transport: Transport, total: int) -> set[str]:
    """Put `total` envelopes into the source queue, each with one more actor to visit; return their ids."""
    body = Raw(payload())
    envelopes = [new_envelope([SOURCE, TARGET], body, now=time.time()) for _ in range(total)]
    for start in range(0, total, _CHUNK):
        await transport.publish([Outgoing(SOURCE, encode(each)) for each in envelopes[start : start + _CHUNK]])
    return {envelope.id for envelope in envelopes}


async def _check_arrived(transport: Transport, sent: set[str], within: float) -> None:
    """Read every message of the target queue: each that was sent must be there once, with the payload it had."""
    arrived: list[Envelope] = []
    wrong: list[str] = []
    expected = json.loads(payload())

    def on_delivery(delivery: Delivery) -> None:
        envelope = decode(delivery.body)
        arrived.append(envelope)
        if json.loads(bytes(envelope.payload)) != expected or envelope.route.curr != TARGET:
            wrong.append(envelope.id)
        transport.complete(delivery).add_done_callback(lambda done: done.result())

    async def all_read() -> bool:
        return (await transport.depth([TARGET]))[TARGET].backlog == 0

    consumer = await transport.consume(TARGET, _CHUNK, on_delivery)
    await until(all_read, within=within, what=lambda: f"read {len(arrived)} messages of the target queue", every=0.1)
    await consumer.close()
    ids = {envelope.id for envelope in arrived}
    if wrong or ids != sent or len(arrived) != len(sent):
        raise CountError(
            f"of {len(sent)} messages {len(sent - ids)} are lost, {len(arrived) - len(ids)} came twice, "
            f"{len(ids - sent)} are foreign and {len(wrong)} have another payload or route"
        )


async def hop_round(
    environ: Mapping[str, str], folder: Path, total: int, progress: Callable[[float], None], within: float
) -> PodRound:
    """Fill the source queue, start the pod, measure, stop it, check the counts once more, drop the queues."""
    transport = await _open(environ)

    async def arrived() -> int:
        return (await transport.depth([TARGET]))[TARGET].ready

    async def left() -> int:
        return (await transport.depth([SOURCE]))[SOURCE].backlog

    try:
        sent = await _fill(transport, total)
        if (ready := await left()) != total:
            raise CountError(f"{ready} of {total} messages are in the source queue")
        async with Mesh(folder, environ) as mesh:
            pod = mesh.pod(SOURCE, "noop.handle", modules=[HANDLERS], sidecar=SIDECAR, runtime=RUNTIME, restart=False)
            await pod.start()
            try:
                hops = await measure(
                    total=total,
                    arrived=arrived,
                    left=left,
                    processes={"sidecar": pod.sidecar.pid, "runtime": pod.runtime.pid},
                    progress=progress,
                    within=within,
                )
                resident = resident_mib(pod.sidecar.pid)
            except (CountError, ProcessLookupError) as error:
                raise CountError(f"{error}\n{mesh.tails()}") from None
        depths = await transport.depth(QUEUES)
        if (counts := {actor: depth.backlog for actor, depth in depths.items() if depth.backlog}) != {TARGET: total}:
            raise CountError(f"after the end the queues hold {counts}, expected {total} in {TARGET}")
        await _check_arrived(transport, sent, within)
        return PodRound(hops, resident)
    finally:
        await transport.drop(QUEUES)
        await transport.close()


async def start_round(environ: Mapping[str, str], folder: Path) -> float:
    """Milliseconds from exec of the sidecar to the handler's first call, the runtime being there before."""
    transport = await _open(environ)
    stamp = folder / "first-call"
    stamp.unlink(missing_ok=True)
    try:
        async with Mesh(folder, environ) as mesh:
            pod = mesh.pod(
                SOURCE,
                "stamp.handle",
                modules=[HANDLERS],
                sidecar=SIDECAR,
                runtime={**RUNTIME, "BENCH_STAMP": str(stamp)},
                restart=False,
            )
            await pod.runtime.start()
            await until(lambda: bool(pod.workers()), within=20, what=lambda: f"a worker\n{mesh.tails()}")
            await _fill(transport, 1)
            await pod.sidecar.start()
            await until(stamp.exists, within=20, what=lambda: f"the first call\n{mesh.tails()}")
            return (float(stamp.read_text()) - pod.sidecar.started_at) * 1000
    finally:
        await transport.drop(QUEUES)
        await transport.close()


async def call_round(python: str, calls: int) -> dict[str, dict[str, float]]:
    """µs of one call, sequential and pipelined, from a process of its own; by where the two processes ran."""
    process = await asyncio.create_subprocess_exec(
        python, "-m", "benchmarks.calls", str(calls), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"benchmarks.calls ended with exit code {process.returncode}")
    return dict(json.loads(output))
