"""The umbrella chart on a running cluster: the one of KUBECONFIG, where it is installed as `asya` in `asya-system`.

Run by pytest-helm-charts in an environment of its own; `make e2e-charts`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pytest_helm_charts.clusters import Cluster
from pytest_helm_charts.k8s.deployment import wait_for_deployments_to_run

ROOT = Path(__file__).resolve().parents[3]
UMBRELLA = ROOT / "charts" / "asya"
RELEASE, NAMESPACE = "asya", "asya-system"
READY_SECONDS, TEST_SECONDS, UPGRADE_SECONDS = 180, 300, 300
_OF_THE_SERVER = ("generation", "managedFields", "resourceVersion")
Manifest = dict[str, Any]


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run Helm on the release's namespace, and return what it printed."""
    tool = [sys.executable, str(ROOT / "tools" / "go_tools.py"), "path", "helm"]
    program = subprocess.run(tool, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    own = tmp_path_factory.mktemp("helm")
    homes = {f"HELM_{kind}_HOME": str(own / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}

    def run(*words: str, seconds: int = 60) -> str:
        command = [program, *words, f"--namespace={NAMESPACE}"]
        environment = {**os.environ, **homes}
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds, env=environment)
        assert done.returncode == 0, f"helm {' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run


@pytest.fixture
def rendered(helm: Any) -> list[Manifest]:
    """The release's objects, as Helm has rendered them."""
    return [each for each in yaml.safe_load_all(helm("get", "manifest", RELEASE)) if each]


def live(kube_cluster: Cluster, rendered: list[Manifest]) -> dict[tuple[str, str], Manifest]:
    """Return the release's objects as they are, without what the API server counts and notes."""
    found: list[Manifest] = []
    # A namespace on the command line would be asked of those that are in another one by their manifest.
    named = [each for each in rendered if "namespace" in each["metadata"]]
    others = [each for each in rendered if each not in named]
    for group, options in ((named, {}), (others, {"namespace": NAMESPACE})):
        if group:
            got = kube_cluster.kubectl("get", std_input=yaml.safe_dump_all(group), **options)
            found += got if isinstance(got, list) else [got]
    assert len(found) == len(rendered)
    for each in found:
        each.pop("status", None)
        for name in _OF_THE_SERVER:
            each["metadata"].pop(name, None)
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


def pods(kube_cluster: Cluster) -> dict[str, str]:
    """Return the pods of the namespace by name, each with what tells it from another of the name."""
    found = kube_cluster.kubectl("get pods", namespace=NAMESPACE)
    return {
        each["metadata"]["name"]: each["metadata"]["uid"] for each in found if "ownerReferences" in each["metadata"]
    }


def test_the_umbrella_is_installed_in_the_version_of_this_checkout(helm: Any) -> None:
    chart = yaml.safe_load((UMBRELLA / "Chart.yaml").read_text())
    status = json.loads(helm("list", f"--filter=^{RELEASE}$", "--output=json"))
    assert [(each["status"], each["chart"]) for each in status] == [("deployed", f"asya-{chart['version']}")]


def test_all_deployments_run(kube_cluster: Cluster, rendered: list[Manifest]) -> None:
    names = [each["metadata"]["name"] for each in rendered if each["kind"] == "Deployment"]
    assert {"asya-operator", "keda-operator"} <= set(names)
    wait_for_deployments_to_run(kube_cluster.kube_client, names, NAMESPACE, READY_SECONDS, missing_ok=False)


def test_the_charts_own_tests_pass(helm: Any) -> None:
    said = helm("test", RELEASE, f"--timeout={TEST_SECONDS}s", seconds=TEST_SECONDS + 30)
    assert "Phase:" in said, said
    assert {line.split()[-1] for line in said.splitlines() if line.startswith("Phase:")} == {"Succeeded"}, said


def test_an_upgrade_with_the_same_values_changes_nothing(
    helm: Any, kube_cluster: Cluster, rendered: list[Manifest]
) -> None:
    names = [each["metadata"]["name"] for each in rendered if each["kind"] == "Deployment"]
    wait_for_deployments_to_run(kube_cluster.kube_client, names, NAMESPACE, READY_SECONDS, missing_ok=False)
    before, running = live(kube_cluster, rendered), pods(kube_cluster)
    revision = json.loads(helm("status", RELEASE, "--output=json"))["version"]
    words = ("upgrade", RELEASE, str(UMBRELLA), "--reuse-values", "--wait", f"--timeout={UPGRADE_SECONDS}s")
    helm(*words, seconds=UPGRADE_SECONDS + 30)
    assert json.loads(helm("status", RELEASE, "--output=json"))["version"] == revision + 1
    after = live(kube_cluster, rendered)
    assert {key for key in before if before[key] != after[key]} == set()
    assert pods(kube_cluster) == running
