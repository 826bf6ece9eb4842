"""Where the CPU time of a hop goes: samples of a working pod, by room, and flame graphs to look at.

`python -m benchmarks.profile` fills a queue, lets one pod work it off, and watches its two processes with py-spy. A
room's microseconds are its share of the samples times the CPU time per hop that /proc counted meanwhile; what happens
inside a library counts for the room that called it, what no line of ours called for "event loop and sockets".
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tests.support.mesh import rabbitmq, sqlite
from tests.support.processes import until
from tests.support.rabbitmq import Broker

from asya.settings import load
from asya.transports.base import Outgoing, QueueSpec, Transport
from asya.transports.registry import open_transport
from asya.transports.settings import TransportSettings
from asya.wire import encode, new_envelope
from asya.wire.envelope import Raw
from benchmarks.payload import payload
from benchmarks.procfs import cpu_seconds
from benchmarks.workers import ACTOR, NEXT, QUEUES, Ours, PodSettings

OUTPUT = Path(__file__).resolve().parent.parent / "build" / "profile"
WARM_UP = 2_000
CHUNK = 200
RATE = 400
"""Samples a second; a number that no timer of ours divides."""
ELSEWHERE = "event loop and sockets"

# The first that matches a frame, from the innermost outwards, names the room.
ROOMS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (room, re.compile(pattern))
    for room, pattern in (
        (ELSEWHERE, r"asya_sidecar/(__)?main(__)?\.py"),
        ("envelope: decode and encode", r"asya/wire/"),
        ("broker: frames, confirms, settlements", r"asya/transports/"),
        ("decision: what becomes of the message", r"asya_sidecar/decide/|asya/policy/"),
        ("link: frames to and from the runtime", r"asya_sidecar/link/"),
        ("metrics and tracing", r"asya_sidecar/(metrics|tracing)/"),
        ("passage: slots, records, carrying out", r"asya_sidecar/"),
        ("handler", r"benchmarks/handlers/"),
        ("runtime: frames, JSON, the call", r"asya_runtime"),
    )
)


@dataclass(frozen=True)
class Profile:
    """One process: CPU µs per hop, and how they spread over the rooms."""

    process: str
    cpu_us: float
    rooms: Mapping[str, float]


def room(stack: str) -> str:
    """Name the room of one folded stack (`outer;…;inner`)."""
    for frame in reversed(stack.split(";")):
        for name, pattern in ROOMS:
            if pattern.search(frame):
                return name
    return ELSEWHERE


def rooms(folded: str) -> dict[str, float]:
    """Return each room's share of the samples in py-spy's raw output (a line: a folded stack, a space, a count)."""
    counts: Counter[str] = Counter()
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        counts[room(stack)] += int(count)
    total = counts.total()
    return {name: count / total for name, count in counts.most_common()}


async def _fill(transport: Transport, total: int) -> None:
    body = Raw(payload())
    for start in range(0, total, CHUNK):
        batch = [new_envelope([ACTOR, NEXT], body, now=time.time()) for _ in range(min(CHUNK, total - start))]
        await transport.publish([Outgoing(ACTOR, encode(each)) for each in batch])


async def _record(pid: int, form: str, seconds: float, output: Path) -> None:
    """Sample a process for some seconds while it works; time in which it waits is left out."""
    command = shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if command is None:
        raise FileNotFoundError("py-spy is not installed beside this Python; `make setup` does it")
    process = await asyncio.create_subprocess_exec(
        command, "record", "--pid", str(pid), "--format", form, "--output", str(output), "--rate", str(RATE),
        "--duration", str(round(seconds)), "--full-filenames", "--nonblocking",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, errors = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"py-spy: {errors.decode().strip().splitlines()[-1]}")


async def _watch(worker: Ours, transport: Transport, seconds: float, folder: Path) -> list[Profile]:
    async def arrived() -> int:
        return (await transport.depth([NEXT]))[NEXT].ready

    async def warm() -> bool:
        return await arrived() >= WARM_UP

    await until(warm, within=60, what=lambda: f"the first messages\n{worker.tail()}", every=0.05)
    processes = {"sidecar": worker.pod.sidecar.pid, "runtime": worker.pod.workers()[0]}
    before, cpu = await arrived(), {name: cpu_seconds(pid) for name, pid in processes.items()}
    await asyncio.gather(*(_record(pid, "raw", seconds, folder / f"{name}.txt") for name, pid in processes.items()))
    hops = await arrived() - before
    used = {name: (cpu_seconds(pid) - cpu[name]) / hops * 1e6 for name, pid in processes.items()}
    await asyncio.gather(
        *(_record(pid, "flamegraph", seconds, folder / f"{name}.svg") for name, pid in processes.items())
    )
    if not (await transport.depth([ACTOR]))[ACTOR].backlog:
        raise RuntimeError("the queue ran empty while it was watched; ask for more messages with --messages")
    return [Profile(name, used[name], rooms((folder / f"{name}.txt").read_text())) for name in processes]


async def profile(environ: Mapping[str, str], total: int, seconds: float, folder: Path, logs: Path) -> list[Profile]:
    """Watch one pod work off `total` messages; write its flame graphs into `folder`."""
    transport = open_transport(load(TransportSettings, environ))
    await transport.open()
    try:
        await transport.declare([QueueSpec(actor) for actor in QUEUES])
        await _fill(transport, total)
        worker = Ours(environ, logs, PodSettings())
        await worker.start()
        try:
            return await _watch(worker, transport, seconds, folder)
        finally:
            await worker.stop()
    finally:
        await transport.drop(QUEUES)
        await transport.close()


def _show(profiles: list[Profile], console: Console, title: str) -> None:
    table = Table("process", "room", "µs CPU per hop", "share", title=title, title_justify="left")
    for each in profiles:
        table.add_row(each.process, "[bold]all[/]", f"{each.cpu_us:.1f}", "")
        for name, share in each.rooms.items():
            table.add_row("", name, f"{each.cpu_us * share:.1f}", f"{share:.0%}")
    console.print(table)


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--transport", choices=("rabbitmq", "sqlite"), default="rabbitmq")
    parser.add_argument("--engine", help="the RabbitMQ engine (default: the transport's own default)")
    parser.add_argument(
        "--messages", type=int, default=150_000, help="how many lie in the queue (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="how long each recording takes (default: %(default)g)"
    )
    args = parser.parse_args()
    console = Console()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="run-", dir=OUTPUT)))
        if args.transport == "sqlite":
            environ = sqlite(logs / "profile.sqlite", "bench")
        else:
            broker = stack.enter_context(Broker(extra_config="collect_statistics_interval = 5000\n"))
            environ = rabbitmq(broker.url, "bench")
            if args.engine:
                environ["ASYA_RABBITMQ_ENGINE"] = args.engine
        found = asyncio.run(profile(environ, args.messages, args.seconds, OUTPUT, logs))
    _show(found, console, f"one hop over {args.transport}")
    (OUTPUT / "profile.json").write_text(
        json.dumps({p.process: {"cpu_us": p.cpu_us, "rooms": dict(p.rooms)} for p in found}, indent=2) + "\n"
    )
    console.print("flame graphs: build/profile/sidecar.svg, build/profile/runtime.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
