"""All of it: programs, cluster, installation, tests, report, and down again; the time of each part is printed.

`python -m tests.cluster.e2e [words for pytest]`. `NAME` is the cluster's name; `KEEP=1` leaves it up. A cluster that
is up already is used as it is and stays.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.cluster import platform
from tests.cluster.cluster import Cluster
from tests.cluster.e2e.install import VALUES
from tests.cluster.e2e.target import CHOICE_VARIABLE, NAME_VARIABLE
from tests.cluster.install import install
from tests.cluster.plan import ROOT, ClusterError

KEEP_VARIABLE = "KEEP"
_NAME = "e2e"


def main(words: list[str]) -> int:
    """Run everything; return pytest's exit code."""
    if (kind := os.environ.get(CHOICE_VARIABLE) or "own") != "own":
        print(f"{CHOICE_VARIABLE}={kind}: only own is served", file=sys.stderr)
        return 2
    cluster = Cluster(os.environ.get(NAME_VARIABLE) or _NAME)
    there = cluster.running
    try:
        if not there:
            bring_up(cluster)
        with cluster.step("tests"):
            return run_tests(cluster.plan.name, words)
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if there or os.environ.get(KEEP_VARIABLE):
            print(f"cluster {cluster.plan.name} stays up; `make cluster-down NAME={cluster.plan.name}` ends it")
        else:
            with cluster.step("down"):
                cluster.down()


def bring_up(cluster: Cluster) -> None:
    """Build what is missing, bring the cluster up and install everything; then upgrade to what the tests need."""
    with cluster.step("programs"):
        tool = ROOT / "tools" / "go_tools.py"
        subprocess.run([sys.executable, str(tool), "build", "api", "render", "cluster"], check=True)
    with cluster.step("cluster up"):
        cluster.up()
    with cluster.step("everything installed"):
        install(cluster, [])
    with cluster.step("release upgraded: x-sink keeps results"):
        platform.install(cluster.plan, VALUES)


def run_tests(name: str, words: list[str]) -> int:
    """Run the tests in a process of their own, and say where the report is."""
    junit = ROOT / "build" / "e2e" / "junit.xml"
    command = [sys.executable, "-m", "pytest", "tests/cluster/e2e", "-m", "e2e", "-n", "0", "--durations=0"]
    environment = {**os.environ, NAME_VARIABLE: name}
    done = subprocess.run([*command, f"--junitxml={junit}", *words], cwd=ROOT, env=environment, check=False)
    print(f"report: {junit.with_name('report.html')}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
