"""The JSON Schema of the models: complete enough to make the cluster's schema from it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from asya.api.fields import EXPECTED
from asya.api.rules import RULES
from asya.api.schema import describe, document_schema, fields
from asya.api.schema import schema_at as at

SEEDS = Path(__file__).parents[2] / "fixtures" / "seeds"
FIELDS = list(fields())


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(document_schema())


@pytest.mark.parametrize("file", sorted(SEEDS.glob("*/asyncactor.yaml")), ids=lambda file: file.parent.name)
def test_printed_manifests_follow_the_schema(file: Path) -> None:
    jsonschema.validate(yaml.safe_load(file.read_text()), document_schema())


@pytest.mark.parametrize(("path", "schema", "required"), FIELDS, ids=[path for path, _, _ in FIELDS])
def test_each_field_says_what_it_means_and_what_holds_without_it(
    path: str, schema: dict[str, Any], required: bool
) -> None:
    text = schema.get("description", "")
    assert text.endswith("."), f"{path} has no description"
    assert required or schema.get("default") is not None or re.search(r"When (absent|empty)", text), (
        f"{path}: and when absent?"
    )
    if schema.get("type") == "integer" and re.search(r"(?i)(period|interval|seconds|window)s?$", path):
        assert "in seconds" in text, f"{path} has no unit"


def test_each_pattern_has_words() -> None:
    for path, schema, _ in FIELDS:
        if "pattern" in schema:
            assert schema["pattern"] in EXPECTED, path
        assert "patternProperties" not in schema, path


def test_objects_are_closed() -> None:
    objects = {name: schema for name, schema in document_schema()["$defs"].items() if "properties" in schema}
    assert len(objects) > 130
    is_open = {name for name, schema in objects.items() if schema.get("additionalProperties") is not False}
    # They refer to Kubernetes' own definitions, which are closed.
    assert {name: objects[name]["$ref"].rpartition(".")[2] for name in is_open} == {
        "Volume": "Volume",
        "ExtraContainer": "Container",
    }


def test_every_rule_across_fields_has_a_sentence() -> None:
    assert all(rule.doc.endswith(".") for rule in RULES)
    assert len({rule.doc for rule in RULES}) == len(RULES)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("spec", "scaling", "minReplicaCount"), "a whole number from 0 to 100000"),
        (("spec", "runtime", "workers"), "a whole number from 1 to 1024"),
        (("spec", "strategy", "rollingUpdate", "maxSurge"), "a whole number or text that is not empty"),
        (("spec", "resiliency", "policies", "x", "backoff"), "one of constant, linear, exponential"),
        (("kind",), "AsyncActor"),
        (("spec", "env"), "a list of at most 100 entries"),
        (("spec", "affinity", "nodeAffinity"), "a mapping"),
        (("spec", "affinity", "noAffinity"), None),
        (("spec", "probes", "liveness", "periodSeconds"), "a whole number of 32 bits"),
        (("spec", "sidecars", 0, "resources", "limits", "cpu"), 'an amount such as "1", 500m or 2Gi'),
        (("spec", "sidecars", 0, "ports", 0, "containerPort"), "a whole number of 32 bits"),
        (("spec", "sidecars", 0, "name"), "a DNS label (lower-case letters, digits and dashes)"),
    ],
)
def test_a_schema_is_told_in_words(path: tuple[str | int, ...], words: str | None) -> None:
    schema = at(path)
    assert (None if schema is None else describe(schema)) == words
