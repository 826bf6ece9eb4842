"""``python -m benchmarks [--quick] [ROW ...]``: measure, print the table, write the report folder build/bench.

Kinds take turns within a round, in each round in another order, so that the machine's moods fall on all of them; a
figure is the median of the rounds, a ratio the median of the rounds' own ratios. The exit code is 0 when everything was
measured, 1 when a step went wrong (messages lost or too many, a process that died): then no table is published. A goal
that is missed is told in the table and does not change the exit code.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from tests.support.rabbitmq import Broker, ensure_installed

from benchmarks import report
from benchmarks.bench import FULL, QUICK, Bench, Scale, expected, make_ring
from benchmarks.display import Display, markdown, table
from benchmarks.judge import results
from benchmarks.kinds import PREFETCH
from benchmarks.procfs import flush_us
from benchmarks.rows import select

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".venvs" / "peers" / "bin" / "python"
OUTPUT = ROOT / "build" / "bench"
MARKS = ("<!-- bench: begin -->", "<!-- bench: end -->")
PACKAGES = (
    "faststream",
    "dramatiq",
    "taskiq",
    "taskiq-aio-pika",
    "celery",
    "boto3",
    "google-cloud-pubsub",
    "aio-pika",
    "pika",
    "amqp",
    "uvloop",
    "msgspec",
)
BROKER_CONFIG = "collect_statistics_interval = 5000\n"
"""As in production: statistics every 5 s instead of the tests' 0.5 s, which would cost every worker alike."""


async def run(kinds: set[str], scale: Scale, engine: str | None, console: Console, page: Path | None) -> int:
    """Measure `kinds`, print and write the results; return the exit code."""
    if not PEERS.exists():
        console.print(f"[red]{PEERS.relative_to(ROOT)} is missing[/]; `make bench` makes it")
        return 2
    began = time.monotonic()
    failures, spent = list[str](), list[tuple[str, float]]()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for name in ("results.json", "index.html"):
        (OUTPUT / name).unlink(missing_ok=True)  # what is found there is always of the last run
    with ExitStack() as stack:
        # Not in /tmp, which is memory on some machines: a flush to it would cost nothing.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="run-", dir=OUTPUT)))
        console.print("a RabbitMQ node of its own is started …")
        ensure_installed(os.environ)
        broker = stack.enter_context(Broker(extra_config=BROKER_CONFIG))
        display = Display(console)
        bench = Bench(scale, make_ring(broker, PEERS, folder, engine, scale, display.part), kinds)
        steps = bench.steps()
        try:
            with display.running(expected(steps)):
                for step in steps:
                    display.begin(step.name)
                    at = time.monotonic()
                    try:
                        figure = await step.run()
                    except Exception as error:  # noqa: BLE001  the other steps still tell what they can
                        failures.append(f"{step.name}: {type(error).__name__}: {error}")
                        figure = f"[red]failed[/]: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
                    took = time.monotonic() - at
                    spent.append((step.name, round(took, 1)))
                    display.end(f"{step.name}: {figure}  [dim]{took:.1f} s[/]", step.seconds)
        finally:
            await bench.close()
        facts = _facts(bench, scale, engine, failures) | {"steps": spent}
    facts["seconds"] = round(time.monotonic() - began)
    (OUTPUT / "details.json").write_text(json.dumps(facts, indent=2) + "\n")
    if failures:
        for failure in failures:
            console.print(f"[red]FAILED[/] {failure}", highlight=False)
        console.print("no table is published: a run in which something went wrong says nothing about speed")
        return 1
    found = results(bench.samples)
    (OUTPUT / "results.json").write_text(json.dumps(found, indent=2) + "\n")
    sentence = _sentence(facts)
    written = report.write(OUTPUT, found, bench.curves, [sentence])
    told = f"{sentence}\n{written.relative_to(ROOT)} has the pictures; results.json is beside it"
    console.print(table(found, told) if found else told)
    if page is not None:
        before, rest = page.read_text().split(MARKS[0])
        page.write_text(f"{before}{MARKS[0]}\n{markdown(found, sentence)}\n{MARKS[1]}{rest.split(MARKS[1])[1]}")
    return 0


def _facts(bench: Bench, scale: Scale, engine: str | None, failures: list[str]) -> dict[str, Any]:
    """Everything that explains the figures."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "engine": engine or _default_engine(),
        "prefetch": PREFETCH,
        "disk_flush_us": flush_us(OUTPUT),
        "scale": asdict(scale),
        "packages": _versions(PEERS),
        "variants": bench.ring.variants | {f"{name} on SQS": way for name, way in bench.clouds.variants.items()},
        **bench.notes,
        "rounds": bench.samples.values,
        "curves": bench.curves,
        "failures": failures,
    }


def _default_engine() -> str:
    from asya.settings import load
    from asya.transports.settings import TransportSettings

    return load(TransportSettings, {"ASYA_NAMESPACE": "bench"}).rabbitmq.engine


def _sentence(facts: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    scale = facts["scale"]
    rounds = f"medians of {scale['rounds']} rounds" if scale["rounds"] > 1 else "one round"
    return (
        f"{facts['date']}, {facts['cpus']} vCPUs shared with whatever else runs, Python {facts['python']}, engine "
        f"{facts['engine']}, {rounds} ({scale['name']} form, {facts['seconds']} s), one disk flush "
        f"{facts['disk_flush_us']:.0f} µs; every kind waits for the broker's confirmation before it acknowledges. "
        f"{versions}."
    )


def _versions(python: Path) -> dict[str, str]:
    code = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    found = subprocess.run([str(python), "-c", code, *PACKAGES], capture_output=True, check=True, text=True)
    return dict(json.loads(found.stdout))


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure hops, latency, memory and more, beside others."
    )
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help="only rows and curves that begin with this, e.g. hop.sqlite"
    )
    parser.add_argument("--quick", action="store_true", help="one short round and no curves: about two minutes")
    parser.add_argument("--rounds", type=int, help="how many rounds instead")
    parser.add_argument("--engine", help="ASYA_RABBITMQ_ENGINE of our pods; the sidecar's own default when absent")
    parser.add_argument("--page", type=Path, help="a Markdown page that holds the marks of a table, to be renewed")
    args = parser.parse_args()
    try:
        kinds = select(args.rows, quick=args.quick)
    except ValueError as error:
        parser.error(str(error))
    scale = QUICK if args.quick else FULL
    if args.rounds is not None:
        if args.rounds < 1:
            parser.error("--rounds must be at least 1")
        scale = replace(scale, rounds=args.rounds)
    console = Console()
    # Whoever stops it, workers and broker are ended in order; a job in a shell's background does not even hear Ctrl-C.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        return uvloop.run(
            run(kinds, scale, args.engine, console if console.is_terminal else Console(width=200), args.page)
        )
    except KeyboardInterrupt:
        console.print("interrupted; nothing was written")
        return 130


if __name__ == "__main__":
    sys.exit(main())
