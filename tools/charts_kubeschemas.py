"""JSON Schemas of Kubernetes kinds for kubeconform, strict, from pinned sources: no schema is fetched from anywhere.

Kinds of Kubernetes itself come from its published OpenAPI document, those of operators from their
CustomResourceDefinitions, those of Crossplane's composites from the XRD.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

Schema = dict[str, Any]
Name = tuple[str, str, str]
"""Group, version and kind."""

# Where kubeconform looks; its ResourceKind is in lower case, and the core group is called by its version.
LOCATION = "{{ .Group }}_{{ .ResourceKind }}_{{ .ResourceAPIVersion }}.json"

_GVK = "x-kubernetes-group-version-kind"
_REF = "#/definitions/"
# The API takes numbers for these too, which OpenAPI 2 cannot say.
_NUMBER_OR_TEXT: Schema = {"anyOf": [{"type": "string"}, {"type": "number"}]}
_LOOSE = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": _NUMBER_OR_TEXT,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _NUMBER_OR_TEXT,
}
_METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


class Schemas:
    """All kinds of one OpenAPI document, and of definitions that are added."""

    def __init__(self, openapi: Path) -> None:
        self._definitions: dict[str, Schema] = json.loads(openapi.read_text())["definitions"]
        self._found: dict[Name, Schema] = {}
        self._core: dict[Name, str] = {
            (entry["group"], entry["version"], entry["kind"]): name
            for name, definition in self._definitions.items()
            for entry in definition.get(_GVK, ())
        }

    def add(self, definition: Schema) -> None:
        """Add the kinds of a CustomResourceDefinition or a CompositeResourceDefinition."""
        spec = definition["spec"]
        names = [spec["names"], *([spec["claimNames"]] if "claimNames" in spec else [])]
        for version in spec["versions"]:
            schema = _strict(version["schema"]["openAPIV3Schema"])
            if definition["kind"] == "CompositeResourceDefinition":
                # Crossplane writes its own machinery in here.
                schema["properties"]["spec"]["properties"]["crossplane"] = {}
            properties = schema.setdefault("properties", {})
            properties |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": self._metadata()}
            for name in names:
                self._found[spec["group"], version["name"], name["kind"]] = schema

    def add_folder(self, folder: Path) -> None:
        """Add every CustomResourceDefinition in the YAML files of a folder."""
        for path in sorted(folder.glob("*.yaml")):
            for document in yaml.safe_load_all(path.read_text()):
                if document and document["kind"] == "CustomResourceDefinition":
                    self.add(document)

    def write(self, names: Iterable[Name], folder: Path) -> set[Name]:
        """Write the schemas of some kinds where kubeconform finds them, and return the kinds that have none."""
        missing: set[Name] = set()
        for group, version, kind in names:
            schema = self.get((group, version, kind))
            if schema is None:
                missing.add((group, version, kind))
            else:
                (folder / f"{group or version}_{kind.lower()}_{version}.json").write_text(json.dumps(schema))
        return missing

    def get(self, name: Name) -> Schema | None:
        """Return the strict schema of a kind, or None when it is unknown."""
        if name in self._found:
            return self._found[name]
        if name not in self._core:
            return None
        return self._written_out({"$ref": _REF + self._core[name]}, ())

    def _metadata(self) -> Schema:
        return self._written_out({"$ref": _REF + _METADATA}, ())

    def _written_out(self, schema: Schema, above: tuple[str, ...]) -> Schema:
        """Return a schema without references, in which objects hold known properties only."""
        if "$ref" in schema:
            name = schema["$ref"].removeprefix(_REF)
            if name in _LOOSE:
                return _LOOSE[name]
            # Only the schema of schemas holds itself; nothing of ours goes that deep.
            return {} if name in above else self._written_out(self._definitions[name], (*above, name))
        found = {key: value for key, value in schema.items() if key in {"type", "enum", "required"}}
        if "items" in schema:
            found["items"] = self._written_out(schema["items"], above)
        if isinstance(schema.get("additionalProperties"), dict):
            found["additionalProperties"] = self._written_out(schema["additionalProperties"], above)
        if "properties" in schema:
            found["properties"] = {name: self._written_out(part, above) for name, part in schema["properties"].items()}
            found.setdefault("additionalProperties", False)
        return found


def names_of(manifests: Iterable[Schema]) -> Iterator[Name]:
    """Yield group, version and kind of each object."""
    for manifest in manifests:
        group, _, version = manifest["apiVersion"].rpartition("/")
        yield group, version, manifest["kind"]


def _strict(schema: Any) -> Any:  # noqa: ANN401 - a JSON Schema is an object, or true or false
    """Return a structural schema (apiextensions/v1) as JSON Schema in which unknown properties are errors."""
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return _NUMBER_OR_TEXT
    found = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes-") and key != "nullable"}
    for key in ("items", "additionalProperties", "not"):
        if key in found:
            found[key] = _strict(found[key])
    for key in ("allOf", "anyOf", "oneOf"):
        # They add conditions to properties that are listed elsewhere, so they must not be closed.
        found.pop(key, None)
    if "properties" in found:
        found["properties"] = {name: _strict(part) for name, part in found["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            found.setdefault("additionalProperties", False)
    if schema.get("nullable") and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
    return found
