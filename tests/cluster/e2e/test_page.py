"""A person's path: the commands of `docs/start/bare.md`, as they stand there."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pages import read
from tests.cluster.e2e.stage import Stage
from tests.cluster.e2e.target import Own, Target
from tests.cluster.plan import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900), pytest.mark.xdist_group("e2e")]
PAGE = ROOT / "docs" / "start" / "bare.md"
NAMESPACE = "hello"
# What `make e2e` has done itself when this runs, and what it does at its end.
OUTSIDE = [
    "make cluster-tools\nmake cluster-up\nmake cluster-install",
    ".venv/bin/python -m tests.cluster exec bash",
    "make cluster-down",
]


def test_the_commands_of_the_page_work(target: Target) -> None:
    assert isinstance(target, Own), "the page is about this cluster"
    blocks = [block.text.strip() for block in read(PAGE).blocks if block.language == "sh"]
    assert [block for block in blocks if block in OUTSIDE] == OUTSIDE
    inside = [block for block in blocks if block not in OUTSIDE]
    # On this cluster x-sink keeps messages, with a Secret that is in each namespace with actors. The page makes the
    # namespace, and wants to see that it is new.
    first, rest = inside[0].split("\n", 1)
    run(target, first)
    Stage(target, NAMESPACE)
    said = run(target, "\n".join([rest, *inside[1:]]))
    assert '"keywords": ["carries", "message", "mesh"]' in said


def run(target: Own, script: str) -> str:
    """Type commands into one shell, which ends at the first that fails; return what was printed."""
    words = [sys.executable, "-m", "tests.cluster", f"--name={target.cluster.plan.name}", "exec"]
    words += ["bash", "-euxo", "pipefail", "-c", script]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=800)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
