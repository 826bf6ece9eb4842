"""The models as a structural schema, which is what Kubernetes stores and checks custom resources by.

It has no defaults: the API server would write them into the object, where they could not be told from what a person
wrote, and a flavor could never set such a field. Each description says what holds when the field is absent.

Source: Kubernetes, "Extend the Kubernetes API with CustomResourceDefinitions", sections on structural schemas, list
types and validation rules.
"""

from __future__ import annotations

import json
from typing import Any

from asya.api.cel import map_names
from asya.api.cel_rules import DOCUMENT, validations
from asya.api.kubernetes_parts import definitions as kubernetes_definitions
from asya.api.schema import FieldSchema, describe, document_schema, follow, tidy
from asya.api.status import ActorStatus

_KEPT = (
    "enum", "exclusiveMaximum", "exclusiveMinimum", "maxItems", "maxLength", "maxProperties", "maximum",
    "minItems", "minLength", "minProperties", "minimum", "pattern", "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations",
)  # fmt: skip
_LIST_KEYS = {
    "spec.env": ["name"],
    "spec.hostAliases": ["ip"],
    "spec.imagePullSecrets": ["name"],
    "spec.initContainers": ["name"],
    "spec.secretRefs[].keys": ["envVar"],
    "spec.sidecar.env": ["name"],
    "spec.sidecars": ["name"],
    "spec.stateProxy": ["name"],
    "spec.stateProxy[].connector.env": ["name"],
    "spec.topologySpreadConstraints": ["topologyKey", "whenUnsatisfiable"],
    "spec.volumeMounts": ["mountPath"],
    "spec.volumes": ["name"],
}
"""Lists whose entries are told apart by fields: none may be there twice, and appliers own them one by one."""
_SETS = frozenset({"spec.flavors"})
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]


def resource_schema() -> FieldSchema:
    """Return the structural schema of a whole object: metadata as far as it is ours to restrict, spec and status."""
    document = document_schema()
    definitions = document["$defs"]
    properties = document["properties"]
    name = definitions["Metadata"]["properties"]["name"]
    status = tidy(ActorStatus.model_json_schema())
    root: FieldSchema = {
        "type": "object",
        "description": _one_line(document["description"]),
        "required": ["spec"],
        "properties": {
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": name["maxLength"]}}},
            "spec": _Writer(definitions).write(properties["spec"], "spec"),
            "status": _Writer(status["$defs"]).write(status, "status"),
        },
    }
    return root | {"x-kubernetes-validations": validations(DOCUMENT)}


def structural(schema: FieldSchema) -> FieldSchema:
    """Return the structural form of another model's JSON schema."""
    tidied = tidy(schema)
    return _Writer(tidied.get("$defs", {}) | kubernetes_definitions()).write(tidied, "")


class _Writer:
    """Writes schemas whose references lead into `definitions`."""

    def __init__(self, definitions: dict[str, FieldSchema]) -> None:
        self._definitions = definitions

    def write(self, given: FieldSchema, path: str) -> FieldSchema:
        """Return the structural form of what stands at `path`."""
        schema, model = follow(given, self._definitions)
        found: FieldSchema = {"type": schema["type"]} if "type" in schema else {}
        found |= {key: schema[key] for key in _KEPT if key in schema}
        if "const" in schema:
            found["enum"] = [schema["const"]]
        if sorted(option.get("type", "") for option in schema.get("anyOf", ())) == ["integer", "string"]:
            found |= {"x-kubernetes-int-or-string": True, "anyOf": _INT_OR_STRING}
        elif "anyOf" in schema:
            raise TypeError(f"{path}: no structural schema says {describe(schema)}")
        rules = [*found.pop("x-kubernetes-validations", ()), *validations(path, model)]
        if schema.get("type") == "array":
            found |= self._list(schema, path)
        elif schema.get("type") == "object":
            found |= self._object(schema, path)
            rules += map_names(names, describe(names)) if (names := schema.get("propertyNames")) else []
        text = _one_line(schema.get("description", "")) + _default(schema)
        found = ({"description": text} if text else {}) | found
        return found | ({"x-kubernetes-validations": rules} if rules else {})

    def _list(self, schema: FieldSchema, path: str) -> FieldSchema:
        items = self.write(schema["items"], f"{path}[]")
        found: FieldSchema = {"items": items}
        keys = schema.get("x-kubernetes-list-map-keys", [])
        if not set(keys) <= set(items.get("required", ())):
            keys = []  # one has a default there (a port's protocol), and here is none
        if keys := _LIST_KEYS.get(path, keys):
            return found | {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys}
        return found | {"x-kubernetes-list-type": "set" if path in _SETS else "atomic"}

    def _object(self, schema: FieldSchema, path: str) -> FieldSchema:
        inner = schema.get("properties")
        if inner is not None:
            found: FieldSchema = {"properties": {name: self.write(inner[name], f"{path}.{name}") for name in inner}}
            # Without a closed list of fields, what is not declared is passed on (a volume's source).
            open_ended = {"x-kubernetes-preserve-unknown-fields": True} if schema.get("additionalProperties") else {}
            return found | ({"required": schema["required"]} if schema.get("required") else {}) | open_ended
        values = schema.get("additionalProperties")
        return {"additionalProperties": self.write(values, f"{path}.*")} if isinstance(values, dict) else {}


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _default(schema: FieldSchema) -> str:
    default: Any = schema.get("default")
    return "" if default is None or default in ({}, [], "") else f" Default: {json.dumps(default)}."
