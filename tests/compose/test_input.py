"""The composition's input and its definition in the function's package."""

from __future__ import annotations

import os
from pathlib import Path

import jsonschema
import pytest
import yaml
from tests.compose.calls import ROOT, Manifest

from asya_composer.input_crd import definition
from asya_composer.settings import Settings

FILE = ROOT / "crossplane" / "composer" / "package" / "input" / "composer.asya.sh_inputs.yaml"
COMPOSITIONS = [
    ROOT / "compositions" / "asyncactors.yaml",
    *(ROOT / "crossplane" / "examples").glob("*/composition.yaml"),
]


class Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def test_the_definition_in_the_package_is_that_of_the_models() -> None:
    """`make golden` writes it anew."""
    head = "# Written from asya_composer.settings by `make golden`; not to be edited.\n"
    text = head + yaml.dump(definition(), Dumper=Dumper, sort_keys=False, width=120, allow_unicode=True)
    if os.environ.get("ASYA_WRITE_GOLDEN"):
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_text(text)
    assert FILE.read_text() == text


@pytest.mark.parametrize("path", COMPOSITIONS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_inputs_of_all_compositions_fit(path: Path) -> None:
    (step,) = yaml.safe_load(path.read_text())["spec"]["pipeline"]
    schema: Manifest = definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    jsonschema.Draft7Validator(schema).validate(step["input"])
    Settings.model_validate(step["input"], by_name=False, by_alias=True)


def test_every_setting_is_described() -> None:
    def missing(schema: Manifest, path: str) -> list[str]:
        found = []
        for name, inner in schema.get("properties", {}).items():
            if not inner.get("description") and path:
                found.append(f"{path}.{name}")
            found += missing(inner, f"{path}.{name}")
        return found

    assert missing(definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "") == []
