"""Many seeds in several processes: what failed, which rows were met, how fast it went."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.simulation.plan import make_plan
from tests.simulation.plants import PLANTS
from tests.simulation.pods import WatchedTransport
from tests.simulation.world import Outcome, run

CHUNK = 20


@dataclass
class Summary:
    """The end of a campaign. `failures` is by seed."""

    seeds: int = 0
    failures: dict[int, list[str]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    steps: int = 0
    simulated: float = 0.0
    ended: int = 0
    seconds: float = 0.0


def run_seed(seed: int, plant: str = "", *, keep_story: bool = False) -> Outcome:
    """Run one seed, with a planted bug where one is named."""
    return run(make_plan(seed), PLANTS[plant] if plant else WatchedTransport, keep_story=keep_story)


def campaign(
    first: int, seeds: int, *, plant: str = "", jobs: int = 0, stop_at: int = 1, progress: bool = False
) -> Summary:
    """Run `seeds` seeds from `first` on, until `stop_at` of them have failed."""
    jobs = jobs or len(os.sched_getaffinity(0))
    chunks = [(at, min(at + CHUNK, first + seeds), plant) for at in range(first, first + seeds, CHUNK)]
    summary, began = Summary(), time.perf_counter()
    for part in _parts(chunks, jobs):
        summary.seeds += part.seeds
        summary.failures |= part.failures
        summary.steps += part.steps
        summary.simulated += part.simulated
        summary.ended += part.ended
        for row, count in part.rows.items():
            summary.rows[row] = summary.rows.get(row, 0) + count
        summary.seconds = time.perf_counter() - began
        if progress:
            _show(summary, seeds)
        if len(summary.failures) >= stop_at:
            break
    if progress:
        sys.stderr.write("\n")
    return summary


def _parts(chunks: list[tuple[int, int, str]], jobs: int) -> Iterator[Summary]:
    if jobs == 1:
        yield from map(_run_chunk, chunks)
        return
    # Started anew, not forked: the same run whatever the parent has loaded.
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(_run_chunk, chunks)


def _run_chunk(chunk: tuple[int, int, str]) -> Summary:
    first, end, plant = chunk
    if multiprocessing.parent_process() is not None:
        gc.freeze()  # what was imported need not be looked at after each run
    summary = Summary()
    for seed in range(first, end):
        outcome = run_seed(seed, plant)
        summary.seeds += 1
        summary.steps += outcome.steps
        summary.simulated += outcome.seconds
        summary.ended += outcome.ended
        for row, count in outcome.rows.items():
            summary.rows[row] = summary.rows.get(row, 0) + count
        if outcome.violations:
            summary.failures[seed] = outcome.violations
    return summary


def _show(summary: Summary, of: int) -> None:
    done = summary.seeds / of
    rate = summary.seeds / max(summary.seconds, 1e-9)
    bar = "#" * int(done * 40)
    line = f"[{bar:<40}] {summary.seeds}/{of} seeds, {rate:.0f}/s, {len(summary.failures)} failed"
    sys.stderr.write(f"\r{line}" if sys.stderr.isatty() else (f"{line}\n" if summary.seeds % 1000 < CHUNK else ""))
    sys.stderr.flush()
