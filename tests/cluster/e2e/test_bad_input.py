"""What people are told by `kubectl apply` and `kubectl describe` when something is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.cluster.e2e.report import Report
from tests.cluster.e2e.stage import Stage
from tests.cluster.plan import ClusterError
from tests.cluster.waiting import wait_until
from tests.support.manifests import BAD, expectation

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.xdist_group("e2e")]
_SECONDS = 90


def one_line(text: str) -> str:
    """What `describe` breaks into lines, on one."""
    return " ".join(text.split())


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_bad_manifest_is_refused_in_words(stage: Stage, report: Report, file: Path) -> None:
    """By the API server, or, where its schema and rules cannot see it, by a condition."""
    wanted, manifest = expectation(file), yaml.safe_load(file.read_text())
    name = manifest["metadata"]["name"]
    where = f"--namespace={stage.namespace}"
    refused = ""
    try:
        stage.kubectl("apply", where, "--filename=-", data=yaml.safe_dump(manifest))
    except ClusterError as error:
        refused = report.said[file.stem] = str(error)
    if refused:
        assert wanted.cluster is not None
        assert wanted.cluster in refused or wanted.models in refused
        return
    seen = ""

    def described() -> bool:
        nonlocal seen
        seen = one_line(stage.describe(name))
        return one_line(wanted.models) in seen

    try:
        wait_until(f"{wanted.models!r} in what is described", described, _SECONDS, lambda: seen)
        report.said[file.stem] = str(stage.get(f"asyncactor/{name}")["status"]["message"])
        assert not stage.pods(name)
    finally:
        stage.kubectl("delete", f"asyncactor/{name}", where)


NOT_TOLD = pytest.mark.xfail(reason="the composition sees the Deployment, not its pods: 0 of 1 replicas are available")


@NOT_TOLD
def test_an_image_that_is_not_there_is_named(stage: Stage, report: Report) -> None:
    told_about(stage, report, "broken-image", "e2e/nowhere:1", image="e2e/nowhere:1")


@NOT_TOLD
def test_a_handler_that_cannot_be_imported_is_named(stage: Stage, report: Report) -> None:
    told_about(stage, report, "broken-handler", "no_such_module", handler="no_such_module.work")


def told_about(stage: Stage, report: Report, name: str, text: str, **spec: str) -> None:
    """Make an actor with a pod, and wait until its message holds a text."""
    stage.kubectl.apply(stage.actor(name, scaling={"minReplicaCount": 1}, **spec))
    try:
        message = ""

        def described() -> bool:
            nonlocal message
            status = stage.get(f"asyncactor/{name}").get("status", {})
            message = str(status.get("message"))
            return text in message

        wait_until(f"{text!r} in the message", described, 180, lambda: f"{message}\n{stage.describe(name)}")
        report.said[name] = message
        assert text in one_line(stage.describe(name))
    finally:
        stage.kubectl("delete", f"asyncactor/{name}", f"--namespace={stage.namespace}", "--wait=false")
