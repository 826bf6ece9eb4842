import json
from typing import Any

import kubernetes_parts
import pytest
from go_tools_go import ToolError
from go_tools_plan import read_plan

from asya.api.actor import AsyncActor
from asya.api.kubernetes_parts import MARK, ROOTS

MODULE = read_plan(kubernetes_parts.VERSIONS.read_text()).modules["kubernetes"]


def marks(schema: Any) -> set[str]:
    """The definitions that a schema names."""
    if isinstance(schema, list):
        return set().union(*map(marks, schema))
    if not isinstance(schema, dict):
        return set()
    own = {schema[MARK]} if isinstance(schema.get(MARK), str) else set()
    return own.union(*map(marks, schema.values()))


def test_the_roots_are_what_fields_of_an_actor_name() -> None:
    assert marks(AsyncActor.model_json_schema()) == set(ROOTS)


def document(**properties: Any) -> dict[str, Any]:
    """One root with some fields; the others without."""
    definitions: dict[str, Any] = {name: {"type": "object", "properties": {}} for name in ROOTS}
    definitions[ROOTS[0]] = {"description": "words", "properties": properties, "required": ["b", "a"]}
    definitions["x.Reached"] = {"properties": {"on": {"type": "boolean", "description": "words"}}}
    definitions["x.Unreached"] = {"properties": {}}
    return {"definitions": definitions}


def made(**properties: Any) -> dict[str, Any]:
    text = kubernetes_parts.parts(document(**properties), MODULE)
    found: dict[str, Any] = json.loads(text)["definitions"]
    return found


def test_only_what_is_reached_and_what_checks_a_value_is_kept() -> None:
    reference = {"$ref": "#/definitions/x.Reached", "description": "words"}
    found = made(a={"type": "array", "items": reference, "x-kubernetes-list-type": "atomic"})
    assert set(found) == {*ROOTS, "x.Reached"}
    assert found[ROOTS[0]] == {
        "required": ["a", "b"],
        "properties": {"a": {"type": "array", "items": {"$ref": "#/$defs/x.Reached"}}},
    }
    assert found["x.Reached"] == {"properties": {"on": {"type": "boolean"}}}


def test_numbers_and_amounts_have_bounds_and_patterns() -> None:
    fields = made(
        small={"type": "integer", "format": "int32"},
        large={"type": "integer", "format": "int64"},
        port={"$ref": "#/definitions/io.k8s.apimachinery.pkg.util.intstr.IntOrString"},
        amount={"$ref": "#/definitions/io.k8s.apimachinery.pkg.api.resource.Quantity"},
    )[ROOTS[0]]["properties"]
    assert fields["small"] == {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
    assert fields["large"] == {"type": "integer"}
    assert fields["port"]["x-kubernetes-int-or-string"]
    assert fields["port"]["maximum"] == 2**31 - 1
    assert "pattern" in fields["amount"]


def without_go() -> Any:
    raise ToolError("there is no Go toolchain")


@pytest.mark.parametrize(("version", "code"), [(MODULE.query, 0), ("k8s.io/kubernetes@v1.0.0", 1)])
def test_without_go_only_the_version_is_compared_and_it_says_so(
    version: str, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    file = kubernetes_parts.ROOT / "python" / "src" / "asya" / "api" / "kubernetes_parts.json"
    changed = tmp_path / "kubernetes_parts.json"
    changed.write_text(file.read_text().replace(MODULE.query, version))
    monkeypatch.setattr(kubernetes_parts, "toolchain", without_go)
    monkeypatch.setattr(kubernetes_parts, "FILE", changed)
    monkeypatch.setattr(kubernetes_parts, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["kubernetes_parts.py", "--check"])

    assert kubernetes_parts.main() == code
    told = capsys.readouterr().err
    assert "only its version compared: there is no Go toolchain" in told
    assert ("is pinned" in told) is bool(code)
