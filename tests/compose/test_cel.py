"""The definitions' rules, asked by an evaluator of CEL that is not the API server's."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml
from tests.support.cel import broken_rules
from tests.support.manifests import BAD, GOOD, expectation

from asya.api.crd import resource_schema

SCHEMA = resource_schema()
_MATTER_OF_LISTS = "Duplicate value"
_MATTER_OF_READING = "unknown field"


@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.stem)
def test_a_good_manifest_breaks_no_rule(file: Path) -> None:
    assert list(broken_rules(SCHEMA, yaml.safe_load(file.read_text()))) == []


def _asked_here(file: Path) -> bool:
    """Whether a rule refuses it, and neither the schema nor what only the API server does."""
    expected = expectation(file).cluster or _MATTER_OF_READING
    listed = expected.startswith((_MATTER_OF_LISTS, _MATTER_OF_READING))
    return not listed and jsonschema.Draft7Validator(SCHEMA).is_valid(yaml.safe_load(file.read_text()))


BY_RULE = [file for file in BAD if _asked_here(file)]


@pytest.mark.parametrize("file", BY_RULE, ids=lambda file: file.stem)
def test_a_bad_manifest_breaks_the_rule_it_is_about(file: Path) -> None:
    expected = expectation(file).cluster
    found = list(broken_rules(SCHEMA, yaml.safe_load(file.read_text())))
    assert any(str(expected) in message for _, message in found), found


def test_most_are_a_matter_of_rules() -> None:
    assert len(BY_RULE) >= 40
