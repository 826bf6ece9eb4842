"""Write the definitions of the Kubernetes API that an actor passes on to its pods; `--check` fails when out of step.

They come from the published OpenAPI document of the pinned Kubernetes (`tools/versions.toml`), cut down to what checks
a value: no descriptions, only what is reached. Without Go, which brings that document, only its version is compared.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from generated import ROOT, checking, settle
from go_tools_go import ToolError, toolchain
from go_tools_plan import Module, read_plan

from asya.api.fields import INT32, KUBERNETES_QUANTITY
from asya.api.kubernetes_parts import REFERENCE, ROOTS

Schema = dict[str, Any]

FILE = ROOT / "python" / "src" / "asya" / "api" / "kubernetes_parts.json"
VERSIONS = ROOT / "tools" / "versions.toml"
DOCUMENT = Path("api", "openapi-spec", "swagger.json")
_REF = "#/definitions/"
_NUMBER_OR_TEXT: Schema = {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}
_INT32: Schema = {"minimum": -INT32 - 1, "maximum": INT32}
# OpenAPI 2 has no words for values that are a number or text.
_SCALARS: Mapping[str, Schema] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": _NUMBER_OR_TEXT | {"pattern": KUBERNETES_QUANTITY},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _NUMBER_OR_TEXT | _INT32,
}
# "No other fields are allowed and will be rejected during validation", says the claim template that holds it.
_METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_METADATA_FIELDS = ("annotations", "labels")


def parts(document: Mapping[str, Any], module: Module) -> str:
    """Return the file's text: where it is from, and every definition that `ROOTS` reach, by its full name."""
    definitions: dict[str, Schema] = document["definitions"]
    found: dict[str, Schema] = {}
    waiting = list(ROOTS)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = _definition(name, definitions[name])
            waiting += _references(found[name])
    lines = (f"{json.dumps(name)}: {json.dumps(found[name], sort_keys=True)}" for name in sorted(found))
    return f'{{"source": {json.dumps(_source(module))}, "definitions": {{\n' + ",\n".join(lines) + "\n}}\n"


def _source(module: Module) -> str:
    return f"{module.query} {DOCUMENT.as_posix()}"


def _definition(name: str, given: Schema) -> Schema:
    fields: dict[str, Schema] = given["properties"]
    if name == _METADATA:
        fields = {field: fields[field] for field in _METADATA_FIELDS}
    required = {"required": sorted(given["required"])} if "required" in given else {}
    return {**required, "properties": {field: _schema(schema) for field, schema in fields.items()}}


def _schema(given: Schema) -> Schema:
    """Return a field's schema as it is kept; of list types only those that say that entries differ in fields."""
    if "$ref" in given:
        name = given["$ref"].removeprefix(_REF)
        return _SCALARS.get(name) or {"$ref": REFERENCE + name}
    found: Schema = {"type": given["type"]}
    if given.get("format") == "int32":
        # The API server decodes it so, but reads the format of a custom resource's field as a remark.
        found |= _INT32
    for key in ("items", "additionalProperties"):
        if key in given:
            found[key] = _schema(given[key])
    if "x-kubernetes-list-map-keys" in given:
        found["x-kubernetes-list-map-keys"] = given["x-kubernetes-list-map-keys"]
    return found


def _references(schema: Any) -> Iterator[str]:  # noqa: ANN401  any part of a schema
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].removeprefix(REFERENCE)
        for inner in schema.values():
            yield from _references(inner)


def main() -> int:
    """Write or check."""
    check = checking((__doc__ or "").splitlines()[0])
    module = read_plan(VERSIONS.read_text()).modules["kubernetes"]
    try:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(toolchain().fetch(module, Path(folder))["Dir"])
    except ToolError as error:
        kept = json.loads(FILE.read_text())["source"]
        print(f"{FILE.relative_to(ROOT)} is not made again, only its version compared: {error}", file=sys.stderr)
        if kept != _source(module):
            print(f"it is from {kept}, but {module.query} is pinned", file=sys.stderr)
        return int(kept != _source(module))
    text = parts(json.loads((source / DOCUMENT).read_text()), module)
    return settle({FILE: text}, check=check, again="generate")


if __name__ == "__main__":
    sys.exit(main())
