"""``python -m benchmarks [--quick] [ROW ...]``: measure, print the table, write build/bench/results.json.

Kinds take turns within a round (A B C A B C), so that the machine's moods fall on all of them; a figure is the median
of the rounds. The exit code is 0 when everything was measured, 1 when a round went wrong (messages lost or too many, a
process that died). A goal that is missed is told in the table and does not change the exit code.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from tests.support import mesh
from tests.support.rabbitmq import Broker

from benchmarks import pods
from benchmarks.alternative import ALTERNATIVES, IN_FLIGHT, THREADS, Alternative, versions
from benchmarks.display import Display, markdown, table
from benchmarks.procfs import flush_us
from benchmarks.rows import Samples, results, select

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".venvs" / "peers" / "bin" / "python"
OUTPUT = ROOT / "build" / "bench"
MARKS = ("<!-- bench: begin -->", "<!-- bench: end -->")
WITHIN = 120.0
"""Seconds after which a round that does not finish counts as failed."""


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    rounds: int
    sqlite: int
    rabbitmq: int
    calls: int


FULL = Scale(rounds=5, sqlite=40_000, rabbitmq=10_000, calls=40_000)
# The memory row speaks of 10,000 hops, so fewer would not do.
QUICK = Scale(rounds=2, sqlite=15_000, rabbitmq=4_000, calls=10_000)

Step = Callable[[], Coroutine[Any, Any, str]]


class Bench:
    """The steps of one round, each noting its figures."""

    def __init__(self, scale: Scale, folder: Path, broker_url: str | None, display: Callable[[float], None]) -> None:
        self._scale, self._folder, self._url, self._progress = scale, folder, broker_url, display
        self.samples = Samples()

    def steps(self, kinds: set[str]) -> list[tuple[str, Step]]:
        """Name and function of each thing that one round measures."""
        chosen: list[tuple[str, Step]] = []
        if kinds & {"hop.sqlite", "memory.sidecar"}:
            chosen.append(("hop over SQLite", self.sqlite))
        if "hop.rabbitmq" in kinds:
            chosen.append(("hop over RabbitMQ", self.rabbitmq))
            chosen += [(f"hop over RabbitMQ, {name}", partial(self.alternative, name)) for name in ALTERNATIVES]
        if kinds & {"call.pipelined", "call.sequential"}:
            chosen.append(("calls", self.calls))
        if "start.sidecar" in kinds:
            chosen.append(("start", self.start))
        return chosen

    async def sqlite(self) -> str:
        environ = mesh.sqlite(self._folder / "hops.sqlite", "bench")
        done = await pods.hop_round(environ, self._folder / "sqlite", self._scale.sqlite, self._progress, WITHIN)
        self.samples.add("hop.sqlite", done.hops.rate)
        for process, used in done.hops.cpu_us.items():
            self.samples.add(f"hop.sqlite.cpu.{process}", used)
        self.samples.add("memory.sidecar", done.resident_mib)
        return f"{done.hops.rate:,.0f} hops/s, {done.resident_mib:.1f} MiB"

    async def rabbitmq(self) -> str:
        assert self._url is not None
        environ = mesh.rabbitmq(self._url, "bench")
        done = await pods.hop_round(environ, self._folder / "rabbitmq", self._scale.rabbitmq, self._progress, WITHIN)
        self.samples.add("hop.rabbitmq", done.hops.rate)
        self.samples.add("hop.rabbitmq.cpu", sum(done.hops.cpu_us.values()))
        for process, used in done.hops.cpu_us.items():
            self.samples.add(f"hop.rabbitmq.cpu.{process}", used)
        return f"{done.hops.rate:,.0f} hops/s, {sum(done.hops.cpu_us.values()):.0f} µs CPU"

    async def alternative(self, name: str) -> str:
        assert self._url is not None
        worker = Alternative(name, PEERS, self._url, self._folder)
        hops = await worker.round(self._scale.rabbitmq, self._progress, WITHIN)
        self.samples.add("hop.rabbitmq", hops.rate, name)
        self.samples.add("hop.rabbitmq.cpu", hops.cpu_us["worker"], name)
        return f"{hops.rate:,.0f} hops/s, {hops.cpu_us['worker']:.0f} µs CPU"

    async def calls(self) -> str:
        found = await pods.call_round(sys.executable, self._scale.calls)
        for where, figures in found.items():
            for kind, value in figures.items():
                self.samples.add(f"call.{kind}", value, where)
        return ", ".join(f"{kind} {value:.1f} µs" for kind, value in found["asya"].items())

    async def start(self) -> str:
        took = await pods.start_round(mesh.sqlite(self._folder / "start.sqlite", "bench"), self._folder / "start")
        self.samples.add("start.sidecar", took)
        return f"{took:.0f} ms"


async def run(kinds: set[str], scale: Scale, console: Console, page: Path | None) -> int:
    """Measure `kinds`, print and write the results; return the exit code."""
    failures: list[str] = []
    with ExitStack() as stack:
        # Not in /tmp, which is memory on some machines: a flush to it would cost nothing.
        OUTPUT.mkdir(parents=True, exist_ok=True)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="run-", dir=OUTPUT)))
        url = None
        if "hop.rabbitmq" in kinds:
            if not PEERS.exists():
                console.print(f"[red]{PEERS.relative_to(ROOT)} is missing[/]; `make bench` makes it")
                return 2
            console.print("a RabbitMQ node of its own is started …")
            # As in production: statistics every 5 s instead of the tests' 0.5 s, which would cost every worker alike.
            broker = stack.enter_context(Broker(extra_config="collect_statistics_interval = 5000\n"))
            url = broker.url
        display = Display(console)
        bench = Bench(scale, folder, url, display.part)
        steps = bench.steps(kinds)
        with display.running(len(steps) * scale.rounds):
            for number in range(scale.rounds):
                for name, step in steps:
                    display.begin(name)
                    try:
                        figure = await step()
                    except Exception as error:  # noqa: BLE001  one failed round is told and the others still count
                        failures.append(f"{name}, round {number + 1}: {type(error).__name__}: {error}")
                        figure = f"[red]failed[/]: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
                    display.end(f"{name}: {figure}")
        found = results(bench.samples)
        _write(found, bench, scale, failures)
    note = f"median of {scale.rounds} rounds · {os.cpu_count()} CPUs, shared with whatever else runs · Python"
    note = f"{note} {platform.python_version()}"
    console.print(table(found, f"{note} · the same in build/bench/results.json"))
    if page is not None:
        before, rest = page.read_text().split(MARKS[0])
        page.write_text(f"{before}{MARKS[0]}\n{markdown(found, _sentence(scale))}\n{MARKS[1]}{rest.split(MARKS[1])[1]}")
    for failure in failures:
        console.print(f"[red]FAILED[/] {failure}", highlight=False)
    return 1 if failures else 0


def _sentence(scale: Scale) -> str:
    versions_ = ", ".join(f"{name} {version}" for name, version in versions(PEERS).items()) if PEERS.exists() else ""
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} shared vCPUs, Python {platform.python_version()}, "
        f"medians of {scale.rounds} rounds, one disk flush {flush_us(OUTPUT):.0f} µs. {versions_}."
    )


def _write(found: dict[str, Any], bench: Bench, scale: Scale, failures: list[str]) -> None:
    """results.json holds the rows and nothing else; what explains them is in details.json."""
    (OUTPUT / "results.json").write_text(json.dumps(found, indent=2) + "\n")
    details = {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "disk_flush_us": flush_us(OUTPUT),
        "scale": vars(scale),
        "in_flight": IN_FLIGHT,
        "dramatiq_threads": THREADS,
        "queues": "quorum, for every worker",
        "alternatives": versions(PEERS) if PEERS.exists() else {},
        "rounds": bench.samples.values,
        "failures": failures,
    }
    (OUTPUT / "details.json").write_text(json.dumps(details, indent=2) + "\n")


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure hops, calls, start and memory.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="only rows that begin with this, e.g. hop.sqlite")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--rounds", type=int, help="how many rounds instead")
    parser.add_argument("--page", type=Path, help="a Markdown page that holds the marks of a table, to be renewed")
    args = parser.parse_args()
    try:
        kinds = select(args.rows)
    except ValueError as error:
        parser.error(str(error))
    scale = QUICK if args.quick else FULL
    if args.rounds is not None:
        if args.rounds < 1:
            parser.error("--rounds must be at least 1")
        scale = Scale(**{**vars(scale), "rounds": args.rounds})
    console = Console()
    try:
        return asyncio.run(run(kinds, scale, console if console.is_terminal else Console(width=160), args.page))
    except KeyboardInterrupt:
        console.print("interrupted; nothing was written")
        return 130


if __name__ == "__main__":
    sys.exit(main())
