"""`python -m tests.fuzz`: many mutated inputs for everything that reads what comes from outside."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time

from tests.fuzz.explore import share
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Return 0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=100_000, help="inputs in all (default %(default)s)")
    parser.add_argument("--seed", type=int, help="other inputs than the usual ones")
    parser.add_argument("--target", choices=sorted(TARGETS), action="append", help="only this one")
    options = parser.parse_args()
    shares = {name: TARGETS[name][2] for name in options.target or TARGETS}
    jobs = len(os.sched_getaffinity(0))
    work = [
        (name, options.examples * share // sum(shares.values()) // jobs, (options.seed or 0) * jobs + part)
        for name, share in shares.items()
        for part in range(jobs)
    ]
    began, tried, found = time.perf_counter(), dict.fromkeys(shares, 0), 0
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for name, count, problem in pool.imap_unordered(share, work):
            tried[name] += count
            found += bool(problem)
            print(f"{name}: {problem}" if problem else f"{name}: {count} inputs, nothing found", flush=True)
    print(f"{sum(tried.values())} inputs in {time.perf_counter() - began:.1f} s: {tried}; found: {found}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
