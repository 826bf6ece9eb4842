"""What people are told by `kubectl apply` and `kubectl describe` when something is wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.e2e.report import Report
from tests.cluster.e2e.stage import Stage
from tests.cluster.plan import ClusterError
from tests.cluster.waiting import wait_until
from tests.support.manifests import BAD, expectation

pytestmark = [pytest.mark.e2e, pytest.mark.core, pytest.mark.timeout(300), pytest.mark.xdist_group("e2e")]
_SECONDS = 120
_REFUSAL = re.compile(r'Error from server \(\w+\): error when \w+ "([^"]+)"')


def one_line(text: str) -> str:
    """What `describe` breaks into lines, on one."""
    return " ".join(text.split())


@pytest.fixture(scope="module")
def refusals(stage: Stage) -> dict[Path, str]:
    """What `kubectl apply` says to each of the bad manifests; those that are taken are not among them."""
    files = [f"--filename={file}" for file in BAD]
    with pytest.raises(ClusterError) as caught:
        stage.kubectl("apply", "--dry-run=server", f"--namespace={stage.namespace}", *files)
    said = str(caught.value)
    found = list(_REFUSAL.finditer(said))
    ends = [*(each.start() for each in found[1:]), len(said)]
    return {Path(each[1]): said[each.start() : end].strip() for each, end in zip(found, ends, strict=True)}


@pytest.mark.parametrize("file", [file for file in BAD if expectation(file).cluster is not None], ids=lambda f: f.stem)
def test_a_bad_manifest_is_refused_in_words(refusals: dict[Path, str], report: Report, file: Path) -> None:
    wanted = expectation(file)
    refused = report.said[file.stem] = refusals[file]
    assert (wanted.cluster is not None and wanted.cluster in refused) or wanted.models in refused


@pytest.mark.parametrize("file", [file for file in BAD if expectation(file).cluster is None], ids=lambda f: f.stem)
def test_what_the_api_server_cannot_see_is_told_by_a_condition(
    stage: Stage, refusals: dict[Path, str], report: Report, file: Path
) -> None:
    assert file not in refusals
    manifest = yaml.safe_load(file.read_text())
    # One after the other they would have the same name; the crew's is what one of them is about.
    place = Stage(stage.target, "bad") if manifest["metadata"]["name"] in {"x-sink", "x-sump"} else stage
    manifest["metadata"]["namespace"] = place.namespace
    message = _described(place, manifest, expectation(file).models)
    report.said[file.stem] = message
    assert not place.pods(manifest["metadata"]["name"])


def test_an_image_that_is_not_there_is_named(stage: Stage, report: Report) -> None:
    manifest = stage.actor("broken-image", image="e2e/nowhere:1", scaling={"minReplicaCount": 1})
    report.said["broken image"] = _described(
        stage, manifest, 'Image "e2e/nowhere:1" of container asya-runtime cannot be pulled: the registry has no such'
    )


def test_a_handler_that_cannot_be_imported_is_named(stage: Stage, report: Report) -> None:
    manifest = stage.actor("broken-handler", handler="no_such_module.work", scaling={"minReplicaCount": 1})
    report.said["broken handler"] = _described(
        stage, manifest, "Handler no_such_module.work in image", "No module named 'no_such_module'"
    )


def test_a_queue_that_cannot_be_made_is_named(stage: Stage, report: Report) -> None:
    """The broker has one of the name already, of another kind; it goes with the actor."""
    stage.mail.occupy("taken")
    said = _described(stage, stage.actor("taken"), "QueueReady", "inequivalent arg")
    report.said["queue that cannot be made"] = said


def _described(stage: Stage, manifest: Any, *texts: str) -> str:
    """Apply an actor, wait until what is described has all texts, take it away; return the line with the last one."""
    name, where = manifest["metadata"]["name"], f"--namespace={stage.namespace}"
    stage.kubectl.apply(manifest)
    seen = ""

    def described() -> bool:
        nonlocal seen
        seen = stage.describe(name)
        return all(one_line(text) in one_line(seen) for text in texts)

    try:
        wait_until(f"{texts} in what is described", described, _SECONDS, lambda: seen)
    finally:
        stage.kubectl("delete", f"asyncactor/{name}", where, "--wait=false")
        wait_until(f"{name} gone", lambda: name not in stage.names(), _SECONDS)
    return next((line.strip() for line in seen.splitlines() if texts[-1] in line), one_line(seen))
