"""Rounds of our pod that no other kind takes part in: hops over SQLite, start-up, calls."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.processes import until

from asya.transports.base import Delivery, Outgoing, Transport
from asya.wire import Envelope, decode, encode, new_envelope
from asya.wire.envelope import Raw
from benchmarks.hops import CountError, Hops, measure
from benchmarks.payload import payload
from benchmarks.workers import ACTOR, NEXT, QUEUES, Ours, PodSettings, open_ours

_CHUNK = 200


async def _fill(transport: Transport, total: int) -> set[str]:
    """Put `total` envelopes into the source queue, each with one more actor to visit; return their ids."""
    body = Raw(payload())
    envelopes = [new_envelope([ACTOR, NEXT], body, now=time.time()) for _ in range(total)]
    for start in range(0, total, _CHUNK):
        await transport.publish([Outgoing(ACTOR, encode(each)) for each in envelopes[start : start + _CHUNK]])
    return {envelope.id for envelope in envelopes}


async def _check_arrived(transport: Transport, sent: set[str], within: float) -> None:
    """Read every message of the target queue: each that was sent must be there once, with the payload it had."""
    arrived: list[Envelope] = []
    wrong: list[str] = []
    expected = json.loads(payload())

    def on_delivery(delivery: Delivery) -> None:
        envelope = decode(delivery.body)
        arrived.append(envelope)
        if json.loads(bytes(envelope.payload)) != expected or envelope.route.curr != NEXT:
            wrong.append(envelope.id)
        transport.complete(delivery).add_done_callback(lambda done: done.result())

    async def all_read() -> bool:
        return (await transport.depth([NEXT]))[NEXT].backlog == 0

    consumer = await transport.consume(NEXT, _CHUNK, on_delivery)
    await until(all_read, within=within, what=lambda: f"read {len(arrived)} messages of the target queue", every=0.1)
    await consumer.close()
    ids = {envelope.id for envelope in arrived}
    if wrong or ids != sent or len(arrived) != len(sent):
        raise CountError(
            f"of {len(sent)} messages {len(sent - ids)} are lost, {len(arrived) - len(ids)} came twice, "
            f"{len(ids - sent)} are foreign and {len(wrong)} have another payload or route"
        )


async def hop_round(
    environ: Mapping[str, str],
    folder: Path,
    total: int,
    settings: PodSettings,
    progress: Callable[[float], None],
    within: float,
) -> Hops:
    """Fill the source queue, start the pod, measure, stop it, check the counts once more, drop the queues."""
    transport = await open_ours(environ)

    async def arrived() -> int:
        return (await transport.depth([NEXT]))[NEXT].ready

    async def left() -> int:
        return (await transport.depth([ACTOR]))[ACTOR].backlog

    worker = Ours(environ, folder, settings)
    try:
        sent = await _fill(transport, total)
        if (ready := await left()) != total:
            raise CountError(f"{ready} of {total} messages are in the source queue")
        await worker.start()
        try:
            hops = await measure(
                total=total,
                arrived=arrived,
                left=left,
                processes=worker.pids(),
                progress=progress,
                within=within,
            )
        except (CountError, ProcessLookupError) as error:
            raise CountError(f"{error}\n{worker.tail()}") from None
        finally:
            await worker.stop()
        depths = await transport.depth(QUEUES)
        if (counts := {actor: depth.backlog for actor, depth in depths.items() if depth.backlog}) != {NEXT: total}:
            raise CountError(f"after the end the queues hold {counts}, expected {total} in {NEXT}")
        await _check_arrived(transport, sent, within)
        return hops
    finally:
        await transport.drop(QUEUES)
        await transport.close()


async def start_round(environ: Mapping[str, str], folder: Path, settings: PodSettings) -> float:
    """Milliseconds from exec of the sidecar to the handler's first call, the runtime being there before."""
    transport = await open_ours(environ)
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / "first-call"
    stamp.unlink(missing_ok=True)
    worker = Ours(environ, folder, settings, "stamp.handle", BENCH_STAMP=str(stamp))
    pod = worker.pod
    try:
        await pod.runtime.start()
        await until(lambda: bool(pod.workers()), within=20, what=lambda: f"a worker\n{worker.tail()}")
        await _fill(transport, 1)
        await pod.sidecar.start()
        await until(stamp.exists, within=20, what=lambda: f"the first call\n{worker.tail()}")
        return (float(stamp.read_text()) - pod.sidecar.started_at) * 1000
    finally:
        await worker.stop()
        await transport.drop(QUEUES)
        await transport.close()


async def call_round(python: str, calls: int) -> dict[str, dict[str, float]]:
    """µs of one call, sequential and pipelined, from a process of its own; by where the two processes ran."""
    return await program(python, "benchmarks.calls", str(calls))


async def program(python: str, module: str, *arguments: str) -> dict[str, Any]:
    """Run one of our modules in a process of its own, and return the JSON object that it prints.

    Raises:
        RuntimeError: It failed.
    """
    process = await asyncio.create_subprocess_exec(
        python, "-m", module, *arguments, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parent.parent
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{module} ended with exit code {process.returncode}")
    return dict(json.loads(output))
