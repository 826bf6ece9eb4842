"""Each example as a whole: what is composed at first, and what is said once everything is at work.

`make golden` writes the files anew; the difference is what a reviewer looks at.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.compose.calls import ROOT, Answer, Manifest, as_observed, call

from asya_composer.kinds import COMPOSED

EXAMPLES = ROOT / "crossplane" / "examples"
GOLDEN = Path(__file__).with_name("golden")
WRITE = "ASYA_WRITE_GOLDEN"
FILES = sorted(
    path
    for path in EXAMPLES.glob("*/*.yaml")
    if path.name not in ("composition.yaml", "observed.yaml", "required.yaml")
)


def settings(example: Path) -> Manifest:
    composition = yaml.safe_load((example.parent / "composition.yaml").read_text())
    found: Manifest = composition["spec"]["pipeline"][0]["input"]
    return found


def cluster() -> list[Manifest]:
    return list(yaml.safe_load_all((EXAMPLES / "required.yaml").read_text()))


def answers(example: Path) -> Iterator[tuple[str, Answer]]:
    """Yield what is said at first and after each step, until nothing new is composed."""
    composite, given = yaml.safe_load(example.read_text()), settings(example)
    answer = call(composite, given, cluster=cluster())
    yield "first", answer
    for _ in range(5):
        observed = as_observed(answer)
        there = [*cluster(), *observed.values()]
        then, answer = answer, call(composite, given, cluster=there, observed=observed)
        if then.resources == answer.resources:
            break
    else:
        raise AssertionError("it composes something else each time")
    yield "at work", answer


def written(example: Path) -> str:
    (_, first), (_, last) = answers(example)
    assert not first.refused, first.refused
    documents: list[dict[str, Any]] = [
        {
            "example": example.relative_to(ROOT).as_posix(),
            "waitsFor": sorted(set(last.resources) - set(first.resources)),
            "notReady": sorted(key for key, ready in last.ready.items() if not ready),
            "conditions": {kind: list(told) for kind, told in sorted(last.conditions.items())},
            "status": last.status,
        }
    ]
    documents += [{"resource": key, **last.resources[key]} for key in sorted(last.resources)]
    return yaml.safe_dump_all(documents, sort_keys=True, width=120, allow_unicode=True)


@pytest.mark.parametrize("example", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_example_is_composed_as_it_was(example: Path) -> None:
    golden = GOLDEN / example.parent.name / example.name
    now = written(example)
    if os.environ.get(WRITE):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(now)
    assert golden.exists(), "no golden file; make golden writes it"
    assert now == golden.read_text()


def test_every_golden_file_has_its_example() -> None:
    known = {f"{path.parent.name}/{path.name}" for path in FILES}
    assert {path.relative_to(GOLDEN).as_posix() for path in GOLDEN.glob("*/*.yaml")} == known


def test_the_list_of_kinds_is_what_the_examples_are_composed_of() -> None:
    seen = {
        (each["apiVersion"], each["kind"])
        for path in FILES
        for _, answer in answers(path)
        for each in answer.resources.values()
    }
    assert seen == {(kind.api_version, kind.kind) for kind in COMPOSED}
