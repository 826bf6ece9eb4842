"""The cluster's schema, made from the models: structural, told in words, with every rule tried by a bad manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import xrd
import yaml
from tests.support.definition import crd_of
from tests.support.manifests import BAD, GOOD, expectation

from asya.api import ActorSpec
from asya.api.cel_rules import PLACES
from asya.api.crd import resource_schema
from asya.api.crossrule import CrossRule
from asya.api.rules import RULES
from asya.api.schema import document_schema, fields
from asya.api.xrd import definition, legacy_definition

SCHEMA = resource_schema()
# Kubernetes' own list for structural schemas, with its extensions.
KNOWN = {
    "type", "description", "properties", "required", "items", "additionalProperties", "enum", "pattern", "anyOf",
    "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
    "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations",
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
}  # fmt: skip


def parts(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (path, schema) of every part of a structural schema."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from parts(inner, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from parts(schema["items"], path + "[]")
    if "additionalProperties" in schema:
        yield from parts(schema["additionalProperties"], path + ".*")


PARTS = dict(parts(SCHEMA))
# Below these are Kubernetes' own definitions, which have no descriptions here.
PASSED_ON = (
    r"spec\.(podS|s)ecurityContext", r"spec\.affinity", r"spec\.volumes\[\]", r"spec\.(initContainers|sidecars)\[\]",
    r"spec\.probes\.(startup|liveness|readiness)", r"spec\.networkPolicy\.egress\[\]",
    r"spec\.topologySpreadConstraints\[\]\.labelSelector",
    r"spec\.(sidecar\.|stateProxy\[\]\.connector\.|)env\[\]\.valueFrom",
)  # fmt: skip
NAMED = [path for path in PARTS if path.startswith(("spec.", "status.")) and not path.endswith(("[]", ".*"))]
OF_MODELS = {path for path, _, _ in fields() if path.startswith("spec.")}
FIELDS = [path for path in NAMED if path in OF_MODELS or path.startswith("status.")]


def test_the_files_are_in_step_with_the_models() -> None:
    for name, text in xrd.generated().items():
        assert (xrd.FOLDER / name).read_text() == text
        assert yaml.safe_load(text) in (definition(), legacy_definition())


def test_it_is_structural() -> None:
    for path, schema in PARTS.items():
        assert schema.keys() <= KNOWN, path
        assert "type" in schema or "x-kubernetes-int-or-string" in schema, path
        assert not {"properties", "additionalProperties"} <= schema.keys(), path
        if "anyOf" in schema:
            assert schema["x-kubernetes-int-or-string"], path
            assert schema["anyOf"] == [{"type": "integer"}, {"type": "string"}], path
        for key in schema.get("x-kubernetes-list-map-keys", ()):
            assert key in schema["items"]["required"], path


def test_it_has_every_field_of_the_models_and_no_other() -> None:
    assert set(NAMED) >= OF_MODELS
    others = [path for path in NAMED if path.startswith("spec.") and path not in OF_MODELS]
    below = re.compile(f"({'|'.join(PASSED_ON)})\\..+")
    assert [path for path in others if not below.fullmatch(path)] == []
    for place in PASSED_ON:
        assert any(re.match(place + r"\.", path) for path in others), place
    assert len(SCHEMA["properties"]["spec"]["properties"]) == len(ActorSpec.model_fields)


def test_nothing_is_passed_on_unseen() -> None:
    assert [path for path, schema in PARTS.items() if "x-kubernetes-preserve-unknown-fields" in schema] == []


def test_lists_of_kubernetes_are_kept_by_its_keys_where_they_are_required() -> None:
    keys = {path: schema.get("x-kubernetes-list-map-keys") for path, schema in PARTS.items() if "items" in schema}
    assert keys["spec.sidecars[].env"] == ["name"]
    assert keys["spec.sidecars[].volumeMounts"] == ["mountPath"]
    assert keys["spec.sidecars[].ports"] is None  # its other key, protocol, has a default there


def test_kubectl_can_apply_it() -> None:
    """It keeps the whole object in an annotation, and all annotations together may have 256 KiB."""
    for made in (definition(), legacy_definition()):
        assert len(json.dumps(made)) < 200 * 1024


@pytest.mark.parametrize("path", FIELDS)
def test_each_field_says_what_it_means_and_what_holds_without_it(path: str) -> None:
    schema = PARTS[path]
    assert schema["description"].endswith(".")
    assert "\n" not in schema["description"]
    # The API server must not write defaults in: a flavor could not set the field any more.
    assert "default" not in schema
    parent, _, name = path.rpartition(".")
    required = name in PARTS[parent].get("required", ())
    empty = schema.get("type") in {"array", "object"}
    assert required or empty or re.search(r"When (absent|empty)|Default: ", schema["description"]), path


def test_good_manifests_follow_it_as_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for file in GOOD:
        if file.stem != "chosen-composition":
            validator.validate(yaml.safe_load(file.read_text()))


def test_every_place_of_a_rule_is_there() -> None:
    models = set(document_schema()["$defs"])
    assert {place for place in PLACES if place not in PARTS and place not in models} == {"(document)"}


RULES_IN_CEL = sorted(
    {
        rule["message"]
        for schema in PARTS.values()
        for rule in schema.get("x-kubernetes-validations", ())
        if "oldSelf" not in rule["rule"]  # asked of updates, which tests/compose/test_apiserver.py makes
    }
)


@pytest.mark.parametrize("message", RULES_IN_CEL)
def test_every_rule_in_cel_is_broken_by_a_bad_manifest(message: str) -> None:
    if message.startswith(("expected names of at most", "expected a label key")) or message.endswith(" as name"):
        message = "as name"  # names in maps are all asked the same way
    if "has a field of its own" in message:
        message = "has a field of its own"
    texts = [expectation(file).cluster or "" for file in BAD]
    assert any(text in message or message in text for text in texts if text)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.doc)
def test_every_rule_across_fields_is_broken_by_a_bad_manifest(rule: CrossRule) -> None:
    assert any(rule.broken(yaml.safe_load(file.read_text())) for file in BAD)


def test_the_definitions_name_the_kind_that_people_write() -> None:
    namespaced, legacy = crd_of(definition())["spec"], crd_of(legacy_definition())["spec"]
    for spec in (namespaced, legacy):
        assert (spec["scope"], spec["names"]["kind"], spec["names"]["shortNames"]) == (
            "Namespaced",
            "AsyncActor",
            ["asya", "asyas"],
        )
        columns = [column["name"].lower() for column in spec["versions"][0]["additionalPrinterColumns"]]
        assert {"ready", "replicas", "transport", "age", "reason"} <= set(columns)
        assert len(columns) == len(set(columns))
    assert "claimNames" not in definition()["spec"]
    assert legacy_definition()["spec"]["scope"] == "LegacyCluster"
