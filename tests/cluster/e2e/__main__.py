"""All of it: programs, cluster, installation, tests, report, and down again; the time of each part is printed.

`python -m tests.cluster.e2e [words for pytest]`. `NAME` is the cluster's name; `KEEP=1` leaves it up; `CORE=1` runs the
tests that CI runs; `LONG=1` runs also those that take a quarter of an hour. A cluster that is up already is used as it
is and stays.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import platform
from tests.cluster.cluster import Cluster
from tests.cluster.e2e.conftest import FOLDER, FOLDER_VARIABLE, PARTIAL, PARTS_VARIABLE
from tests.cluster.e2e.install import CLOUDS, VALUES
from tests.cluster.e2e.target import CHOICE_VARIABLE, NAME_VARIABLE
from tests.cluster.install import install
from tests.cluster.plan import ROOT, ClusterError

KEEP_VARIABLE, CORE_VARIABLE, LONG_VARIABLE = "KEEP", "CORE", "LONG"
_NAME = "e2e"


class Parts:
    """How long each part took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure a part, also one that fails."""
        print(f"=== {name}", file=sys.stderr, flush=True)
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - began, 1)

    def table(self) -> str:
        """All parts and their sum."""
        lines = [f"{seconds:8.1f} s  {name}" for name, seconds in self.seconds.items()]
        return "\n".join([*lines, f"{sum(self.seconds.values()):8.1f} s  altogether"])


def main(words: list[str]) -> int:
    """Run everything; return pytest's exit code."""
    if (os.environ.get(CHOICE_VARIABLE) or "own") != "own":
        # Somebody's cluster, with Asya installed: docs/start/kind.md.
        return run_tests(os.environ.get(NAME_VARIABLE, ""), words, Parts())
    cluster, parts = Cluster(os.environ.get(NAME_VARIABLE) or _NAME), Parts()
    there = cluster.running
    try:
        if not there:
            bring_up(cluster, parts)
        with parts.part("tests"):
            return run_tests(cluster.plan.name, words, parts)
    except (ClusterError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    finally:
        if there or os.environ.get(KEEP_VARIABLE):
            print(f"cluster {cluster.plan.name} stays up; `make cluster-down NAME={cluster.plan.name}` ends it")
        else:
            with parts.part("down"):
                cluster.down()
        print(parts.table())


def bring_up(cluster: Cluster, parts: Parts) -> None:
    """Build what is missing, bring the cluster up and install everything; then upgrade to what the tests need."""
    with parts.part("programs"):
        tool = ROOT / "tools" / "go_tools.py"
        subprocess.run([sys.executable, str(tool), "build", "api", "render", "cluster"], check=True)
    with parts.part("cluster up"):
        cluster.up()
    with parts.part("everything installed"):
        install(cluster, [])
    with parts.part("release upgraded: x-sink keeps results"):
        platform.install(cluster.plan, VALUES, CLOUDS)


def run_tests(name: str, words: list[str], parts: Parts) -> int:
    """Run the tests in a process of their own, and say where the report is."""
    core = bool(os.environ.get(CORE_VARIABLE))
    chosen = "e2e and core" if core else "e2e" if os.environ.get(LONG_VARIABLE) else "e2e and not long"
    folder = _folder(words, core=core)
    command = [sys.executable, "-m", "pytest", "tests/cluster/e2e", "-m", chosen, "-n", "0"]
    environment = {
        **os.environ,
        NAME_VARIABLE: name,
        FOLDER_VARIABLE: str(folder),
        PARTS_VARIABLE: json.dumps(parts.seconds),
    }
    command += ["--durations=0", f"--junitxml={folder / 'junit.xml'}", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    print(f"report: {folder / 'report.html'}")
    return done.returncode


def _folder(words: list[str], *, core: bool) -> Path:
    """Return where the report goes; only a whole run's is in the usual place."""
    if words:
        return PARTIAL
    return FOLDER / "core" if core else FOLDER


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
