"""The simulation itself: it finds nothing in the product, finds what is planted, and is the same each time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tests.simulation.campaign import campaign, run_seed
from tests.simulation.plan import Plan, make_plan
from tests.simulation.plants import PLANTS
from tests.simulation.shrink import shrink
from tests.simulation.table import IMPOSSIBLE, ROWS
from tests.simulation.world import run

CI_SEEDS = 400
"""Here; `.ci/run` runs `make simulate`, which takes more."""
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_row_is_met_and_nothing_is_wrong() -> None:
    summary = campaign(0, CI_SEEDS)
    assert summary.failures == {}, "replay with: make simulate SEED=…"
    assert not IMPOSSIBLE.keys() & summary.rows.keys(), "a row that is said to be impossible here was met"
    assert summary.rows.keys() | IMPOSSIBLE.keys() == ROWS.keys()


# It takes a message that comes again by itself, which few histories have.
RARE = pytest.param("forgets-what-comes-again", marks=pytest.mark.slow)


@pytest.mark.parametrize("plant", [*sorted(PLANTS.keys() - {"forgets-what-comes-again"}), RARE])
def test_a_planted_bug_is_caught_within_200_seeds(plant: str) -> None:
    assert any(run_seed(seed, plant).violations for seed in range(200))


@pytest.mark.parametrize("seed", [3, 17, 61, 186])
def test_the_same_seed_is_the_same_story(seed: int) -> None:
    first, second = run_seed(seed, keep_story=True), run_seed(seed, keep_story=True)
    assert first.story == second.story
    assert first.digest == second.digest


@pytest.mark.slow
def test_the_story_does_not_depend_on_the_process() -> None:
    code = "from tests.simulation.campaign import run_seed; print([run_seed(s).digest for s in range(40, 60)])"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
            capture_output=True,
            check=True,
            text=True,
            timeout=100,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert found == {f"{[run_seed(seed).digest for seed in range(40, 60)]}\n"}


def test_a_plan_is_data() -> None:
    for seed in range(50):
        plan = make_plan(seed)
        assert msgspec.convert(json.loads(plan.to_json()), Plan) == plan


@pytest.mark.slow
def test_a_failing_plan_is_shrunk_to_one_message_and_no_fault() -> None:
    plant = PLANTS["settle-before-confirm"]
    plan = next(plan for plan in map(make_plan, range(100)) if len(plan.messages) > 4 and len(plan.faults) > 2)
    small = shrink(plan, lambda candidate: bool(run(candidate, plant).violations))
    assert run(small, plant).violations
    assert (len(small.messages), len(small.faults)) == (1, 0)
    assert all(actor.pods == 1 for actor in small.actors)
