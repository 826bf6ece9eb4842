"""``python -m tests.torture``: break everything while messages flow, and count them."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tests.support.rabbitmq import ensure_installed
from tests.torture.matrix import ROWS
from tests.torture.model import ENGINES, RABBITMQ, TRANSPORTS, Result, engines, places
from tests.torture.runner import CI, LONG, Job, cannot_be_had, choose, run_all
from tests.torture.table import line, table

OUT = Path("build/torture/results.json")
KEPT = Path(__file__).with_name("results.json")
KEPT_FIELDS = (
    "row", "what", "transport", "engine", "row_ids", "sent", "delivered", "duplicated", "lost", "bound",
    "called_twice", "call_bound", "failures", "ok", "skipped", "absent", "note",
)  # fmt: skip


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument(
        "--long",
        action="store_true",
        help=f"{LONG.messages} messages per row ({LONG.cloud_messages} on clouds), all rows everywhere",
    )
    parser.add_argument("--messages", type=int, help="so many messages per row, whatever the form")
    parser.add_argument("--row", action="append", default=[], metavar="NAME", help="only this row; * and ? stand in")
    parser.add_argument("--transport", choices=TRANSPORTS, action="append", help="only this transport")
    names = [name for each in ENGINES.values() for name in each]
    parser.add_argument("--engine", choices=names, action="append", help="only this engine of those that have several")
    parser.add_argument(
        "--keep", action="store_true", help=f"keep the results for the page of guarantees ({KEPT.name})"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="rows at a time")
    return parser.parse_args()


def chosen(given: argparse.Namespace) -> list[Job]:
    """Return what is to be run; exits when that is nothing."""
    rows = [row for row in ROWS if not given.row or any(fnmatchcase(row.name, name) for name in given.row)]
    # An engine that is asked for by name gets every row.
    second = {names[1] for names in ENGINES.values()}
    everything = given.long or bool(given.row) or (bool(given.engine) and second.issuperset(given.engine))
    having = [each for each in TRANSPORTS if not given.engine or set(engines(each)) & set(given.engine)]
    jobs = choose(rows, given.transport or having, given.engine, everything=everything)
    if not jobs:
        sys.exit(f"no such row: {', '.join(given.row)}; there are:\n  " + "\n  ".join(row.name for row in ROWS))
    return jobs


def main() -> int:
    """Run, print, write; 1 when a row failed."""
    # As Ctrl-C: whatever ends this, its processes, networks and disks end with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    given = arguments()
    jobs = chosen(given)
    if any(job.transport == RABBITMQ for job in jobs):
        ensure_installed(os.environ)
    size = LONG if given.long else CI
    if given.messages is not None:
        size = replace(size, messages=given.messages, cloud_messages=given.messages)
    began, done = time.monotonic(), [0]
    print(f"{len(jobs)} rows of {size.messages} messages ({size.cloud_messages} on clouds), {given.jobs} at a time")

    def ended(result: Result) -> None:
        done[0] += 1
        print(f"[{done[0]:3}/{len(jobs)}] {line(result)}", flush=True)
        for problem in result.problems:
            print(f"      {problem}", flush=True)
        if given.keep:
            keep([result])  # now, as a long run may be ended before its end

    results = asyncio.run(run_all(jobs, size, given.jobs, ended))
    print(table(results))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps([result.as_json() for result in results], indent=1) + "\n")
    failed = [result for result in results if not result.ok and not result.skipped]
    print(
        f"{len(results) - len(failed)} of {len(results)} rows hold, {time.monotonic() - began:.0f} s, "
        f"{_cpu_seconds():.0f} s of CPU; {OUT}"
    )
    return 1 if failed else 0


def _cpu_seconds() -> float:
    """What this process and all it started have used; unlike the time, a busy machine does not change it much."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def keep(results: Sequence[Result]) -> None:
    """Put results in the place of those of the same rows that were kept before; what is no row any more goes.

    Where a row cannot be had, that is kept too, with its reason. Several runs at a time take turns.
    """
    OUT.parent.mkdir(parents=True, exist_ok=True)
    with OUT.with_name("keeping").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        _keep(results)


def _keep(results: Sequence[Result]) -> None:
    known: list[dict[str, Any]] = json.loads(KEPT.read_text()) if KEPT.exists() else []
    known += [result.as_json() for result in results]
    latest = {(each["row"], each["transport"], each["engine"]): each for each in known if not each["absent"]}
    absent = {(each.row, each.transport, each.engine): each.as_json() for each in cannot_be_had(ROWS)}
    latest |= absent
    wanted = [(row.name, *place) for row in ROWS for place in places()]
    lines = [json.dumps({name: latest[each][name] for name in KEPT_FIELDS}) for each in wanted if each in latest]
    new = KEPT.with_suffix(".new")
    new.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    new.replace(KEPT)


if __name__ == "__main__":
    sys.exit(main())
