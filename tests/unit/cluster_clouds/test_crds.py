"""The definitions hold what the table of the providers' fields says, and every composed object goes through them."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
import yaml
from tests.cluster.clouds.crds import CONFIG, definition, definitions

from asya_composer.kinds import COMPOSED

ROW = {
    "group": "sqs.aws.m.upbound.io",
    "version": "v1beta1",
    "plural": "things",
    "scope": "Namespaced",
    "forProvider_needed_to_create": ["policy"],
    "spec": {
        "forProvider*": {"region*": "string", "policy": "string", "size": "number", "tags": "map of string"},
        "managementPolicies": ["string enum Observe|Create|*"],
        "providerConfigRef": {"kind*": "string", "name*": "string"},
    },
    "status_atProvider": {"arn": "string"},
}


def test_every_composed_kind_of_a_cloud_is_defined_once() -> None:
    found = [each["metadata"]["name"] for each in definitions()]
    composed = {each.resource for each in COMPOSED if each.provider is not None}
    configs = {f"clusterproviderconfigs.{cloud}.m.upbound.io" for cloud in ("aws", "gcp")}
    assert len(found) == len(set(found))
    assert set(found) == composed | configs


def test_the_configs_are_of_the_whole_cluster_and_the_rest_is_not() -> None:
    for each in definitions():
        expected = "Cluster" if each["spec"]["names"]["kind"] == CONFIG else "Namespaced"
        assert each["spec"]["scope"] == expected


def schema(crd: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def test_a_row_becomes_a_schema() -> None:
    spec = schema(definition("Thing", ROW))["properties"]["spec"]
    assert spec["required"] == ["forProvider"]
    assert spec["properties"]["forProvider"]["required"] == ["region"]
    assert "required" not in spec["properties"]["initProvider"]
    assert spec["properties"]["forProvider"]["properties"]["tags"]["additionalProperties"] == {"type": "string"}
    assert spec["properties"]["managementPolicies"]["default"] == ["*"]
    assert spec["properties"]["managementPolicies"]["items"]["enum"] == ["Observe", "Create", "*"]
    (rule,) = spec["x-kubernetes-validations"]
    assert "policy" in rule["message"]


@pytest.mark.parametrize("entry", ["text", "string enum", "map of number", "list of string"])
def test_an_entry_that_is_no_type_is_told(entry: str) -> None:
    with pytest.raises(ValueError, match="is no type"):
        definition("Thing", {**ROW, "spec": {**ROW["spec"], "odd": entry}})


def test_the_schemas_are_schemas() -> None:
    for each in definitions():
        jsonschema.Draft202012Validator.check_schema(schema(each))


def test_the_command_writes_them(capsys: pytest.CaptureFixture[str]) -> None:
    from tests.cluster.clouds.__main__ import main

    assert main(["crds"]) == 0
    assert list(yaml.safe_load_all(capsys.readouterr().out)) == definitions()
