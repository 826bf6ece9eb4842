"""CustomResourceDefinitions of the cloud providers' kinds, made from crossplane/providers/fields.yaml.

The providers' own packages are large and not everywhere to be had. These definitions have the fields of the table, what
is required of them, and what Crossplane adds to every managed resource: conditions, policies, a status of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from asya_composer.kinds import COMPOSED

Manifest = dict[str, Any]
TABLE = Path(__file__).resolve().parents[3] / "crossplane" / "providers" / "fields.yaml"
CONFIG = "ClusterProviderConfig"
_TEXT = {"type": "string"}
_SCALAR = re.compile(r"(?P<type>string|number|boolean|object)(?: enum (?P<enum>\S+))?(?: default (?P<default>\S+))?")
_CONDITIONS: Manifest = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
    "items": {
        "type": "object",
        "required": ["lastTransitionTime", "reason", "status", "type"],
        "properties": {
            "lastTransitionTime": {"type": "string", "format": "date-time"},
            "message": _TEXT,
            "observedGeneration": {"type": "integer", "format": "int64"},
            "reason": _TEXT,
            "status": _TEXT,
            "type": _TEXT,
        },
    },
}
_COLUMNS = [
    {"name": "SYNCED", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Synced')].status"},
    {"name": "READY", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].status"},
    {
        "name": "EXTERNAL-NAME",
        "type": "string",
        "jsonPath": ".metadata.annotations.crossplane\\.io/external-name",
    },
    {"name": "AGE", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]


def definitions() -> list[Manifest]:
    """Return the definitions of every cloud kind that is composed, and of the providers' configurations."""
    composed = {(each.group, each.kind) for each in COMPOSED if each.provider is not None}
    found = []
    for key, row in yaml.safe_load(TABLE.read_text()).items():
        kind = key.rpartition("/")[2]
        if (row["group"], kind) in composed or kind == CONFIG:
            found.append(definition(kind, row))
    missing = composed - {(each["spec"]["group"], each["spec"]["names"]["kind"]) for each in found}
    if missing:
        raise LookupError(f"{TABLE.name} has no row for {sorted(missing)}")
    return found


def definition(kind: str, row: Mapping[str, Any]) -> Manifest:
    """Return the definition of one kind from its `row` of the table."""
    managed = kind != CONFIG
    properties = {"spec": _managed_spec(row) if managed else _schema(row["spec"]), "status": _status(row)}
    version = {
        "name": row["version"],
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": _COLUMNS if managed else _COLUMNS[-1:],
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "required": ["spec"],
                "properties": {"apiVersion": _TEXT, "kind": _TEXT, "metadata": {"type": "object"}, **properties},
            }
        },
    }
    names = {"kind": kind, "listKind": f"{kind}List", "plural": row["plural"], "singular": kind.lower()}
    if managed:
        names["categories"] = ["crossplane", "managed"]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{row['plural']}.{row['group']}"},
        "spec": {"group": row["group"], "names": names, "scope": row["scope"], "versions": [version]},
    }


def _managed_spec(row: Mapping[str, Any]) -> Manifest:
    found = _schema(row["spec"])
    fields = found["properties"]
    fields["initProvider"] = _without_required(fields["forProvider"])
    fields["managementPolicies"]["default"] = ["*"]
    fields["providerConfigRef"]["default"] = {"kind": CONFIG, "name": "default"}
    needed = list(row.get("forProvider_needed_to_create", ()))
    if needed:
        found["x-kubernetes-validations"] = [_needed(name) for name in needed]
    return found


def _needed(name: str) -> Manifest:
    """Who only observes need not say what the provider would need to write."""
    writes = " || ".join(f"'{policy}' in self.managementPolicies" for policy in ("*", "Create", "Update"))
    given = " || ".join(f"(has(self.{place}) && has(self.{place}.{name}))" for place in ("forProvider", "initProvider"))
    return {"rule": f"!({writes}) || {given}", "message": f"spec.forProvider.{name} is a required parameter"}


def _status(row: Mapping[str, Any]) -> Manifest:
    found = {"conditions": _CONDITIONS}
    if "status_atProvider" in row:
        found["atProvider"] = _schema(row["status_atProvider"])
    return {"type": "object", "properties": found}


def _schema(entry: object) -> Manifest:
    if isinstance(entry, dict):
        properties = {name.removesuffix("*"): _schema(each) for name, each in entry.items()}
        required = sorted(name.removesuffix("*") for name in entry if name.endswith("*"))
        return {"type": "object", "properties": properties, **({"required": required} if required else {})}
    if isinstance(entry, list):
        (item,) = entry
        return {"type": "array", "items": _schema(item)}
    if entry == "map of string":
        return {"type": "object", "additionalProperties": _TEXT}
    found = _SCALAR.fullmatch(str(entry))
    if found is None:
        raise ValueError(f"{TABLE.name}: {entry!r} is no type")
    schema: Manifest = {"type": found["type"]}
    if found["enum"]:
        schema["enum"] = found["enum"].split("|")
    if found["default"]:
        schema["default"] = found["default"]
    return schema


def _without_required(schema: Manifest) -> Manifest:
    """Only the fields of the first level are optional; what is inside them stays as it is."""
    return {name: each for name, each in schema.items() if name != "required"}


def as_yaml(objects: Iterable[Mapping[str, Any]]) -> str:
    """Return objects as `kubectl apply` reads them."""
    return yaml.safe_dump_all([dict(each) for each in objects], sort_keys=False)
