"""Manifests as files, good and bad, as the models judge them; `tests/compose` asks an API server the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.manifests import BAD, GOOD, expectation

from asya.api import AsyncActor, read_manifests


@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.stem)
def test_a_good_manifest_is_accepted(file: Path) -> None:
    found = read_manifests([file])
    assert found.problems == []
    assert len(found.actors) == 1


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_bad_manifest_is_refused_and_says_why(file: Path) -> None:
    found = read_manifests([file])
    assert found.actors == []
    assert expectation(file).models in "\n".join(str(problem) for problem in found.problems)
    assert all("spec" in problem.path or "name" in problem.path for problem in found.problems)


def test_there_are_enough() -> None:
    assert len(GOOD) >= 30
    assert len(BAD) >= 60


@pytest.mark.parametrize(
    "name", ["compositionRef", "resourceRefs", "claimRef", "writeConnectionSecretToRef", "crossplane"]
)
def test_what_crossplane_wrote_into_a_spec_is_left_out(name: str) -> None:
    actor = AsyncActor.model_validate(
        {"metadata": {"name": "a"}, "spec": {"image": "i:1", "handler": "h.f", name: {"name": "x"}}}
    )
    assert actor.manifest()["spec"] == {"image": "i:1", "handler": "h.f"}
