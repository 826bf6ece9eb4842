"""`python -m tests.simulation`: run many seeds, or tell the story of one."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.campaign import Summary, campaign, run_seed
from tests.simulation.plan import Plan, make_plan
from tests.simulation.plants import PLANTS
from tests.simulation.pods import WatchedTransport
from tests.simulation.shrink import shrink
from tests.simulation.table import IMPOSSIBLE, ROWS
from tests.simulation.world import run


def main() -> int:
    """Return 0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many (default %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--seed", type=int, help="only this one, with its story")
    parser.add_argument("--plant", choices=sorted(PLANTS), default="", help="run with a bug on purpose")
    parser.add_argument("--jobs", type=int, default=0, help="processes (default: one for each core)")
    parser.add_argument("--shrink", action="store_true", help="with --seed: the smallest plan that fails too")
    options = parser.parse_args()
    if options.seed is not None:
        return _one(options.seed, options.plant, smaller=options.shrink)
    return _many(options.first, options.seeds, options.plant, options.jobs)


def _many(first: int, seeds: int, plant: str, jobs: int) -> int:
    summary = campaign(first, seeds, plant=plant, jobs=jobs, progress=True)
    print(report(summary))
    for seed in sorted(summary.failures)[:1]:
        _explain(seed, plant, summary.failures[seed])
    return 1 if summary.failures else 0


def report(summary: Summary) -> str:
    """Say in a few lines how a campaign went."""
    missing = sorted(ROWS.keys() - summary.rows.keys() - IMPOSSIBLE.keys())
    rows = "  ".join(f"{row} {summary.rows[row]}" for row in ROWS if row in summary.rows)
    return (
        f"{summary.seeds} seeds in {summary.seconds:.1f} s ({summary.seeds / max(summary.seconds, 1e-9):.0f}/s): "
        f"{summary.ended} messages in {summary.simulated / 3600:.1f} simulated hours, {summary.steps} steps\n"
        f"rows of the truth table met: {rows}\n"
        f"rows never met: {', '.join(missing) or 'none'}\n" + f"seeds that failed: {len(summary.failures)}"
    )


def _one(seed: int, plant: str, *, smaller: bool) -> int:
    plan = make_plan(seed)
    outcome = run_seed(seed, plant, keep_story=True)
    if smaller and outcome.violations:
        plan = _smallest(plan, plant)
        outcome = run(plan, PLANTS.get(plant, WatchedTransport), keep_story=True)
        print(plan.to_json())
    print("\n".join(outcome.story))
    print(f"\nseed {seed}: {outcome.steps} steps, {outcome.seconds:.1f} simulated seconds, digest {outcome.digest}")
    print("\n".join(outcome.violations) or "everything came to its end as the truth table says")
    return 1 if outcome.violations else 0


def _explain(seed: int, plant: str, violations: list[str]) -> None:
    words = f" PLANT={plant}" if plant else ""
    plan = _smallest(make_plan(seed), plant)
    print(f"\nseed {seed} failed: {violations[0]:.2000}\n")
    faults = [f"{fault.kind} {fault.target} at {fault.at} s" for fault in plan.faults]
    print(
        f"The smallest plan found: {len(plan.messages)} messages, {len(plan.actors)} actors, "
        f"faults: {', '.join(faults) or 'none'}"
    )
    print(f"Its whole story:       make simulate SEED={seed}{words}")
    print(f"The smallest plan's:   make simulate SEED={seed} SHRINK=1{words}")


def _smallest(plan: Plan, plant: str) -> Plan:
    transport = PLANTS.get(plant, WatchedTransport)
    return shrink(plan, lambda candidate: bool(run(candidate, transport).violations))


if __name__ == "__main__":
    sys.exit(main())
