"""What Crossplane makes of a CompositeResourceDefinition: the CustomResourceDefinition that the API server gets.

Source: crossplane-runtime v2.3.3, `pkg/xcrd` (`ForCompositeResource`, `ForCompositeResourceClaim`), which core v2.3.4
calls. It takes `spec` and `status` from the definition, the rules of the root, and of metadata only the length of the
name.
"""

from __future__ import annotations

import copy
from typing import Any

Manifest = dict[str, Any]

_TEXT = {"type": "string"}
_MATCH_LABELS = {
    "type": "object",
    "required": ["matchLabels"],
    "properties": {"matchLabels": {"type": "object", "additionalProperties": _TEXT}},
}
_NAMED = {"type": "object", "required": ["name"], "properties": {"name": _TEXT}}
_MACHINERY: Manifest = {
    "compositionRef": _NAMED,
    "compositionSelector": _MATCH_LABELS,
    "compositionRevisionRef": _NAMED,
    "compositionRevisionSelector": _MATCH_LABELS,
    "compositionUpdatePolicy": {"type": "string", "enum": ["Automatic", "Manual"]},
}
_TYPED = {"apiVersion": _TEXT, "kind": _TEXT, "name": _TEXT}
_CONDITIONS = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
    "items": {
        "type": "object",
        "required": ["lastTransitionTime", "reason", "status", "type"],
        "properties": {
            "lastTransitionTime": {"type": "string", "format": "date-time"},
            "message": _TEXT,
            "reason": _TEXT,
            "status": _TEXT,
            "type": _TEXT,
            "observedGeneration": {"type": "integer", "format": "int64"},
        },
    },
}
_NAME_LENGTH = 63


def crd_of(definition: Manifest) -> Manifest:
    """Return the CRD of the namespaced kind that people write: the composite's, or with a claim the claim's."""
    spec = definition["spec"]
    claim = spec.get("claimNames")
    names = copy.deepcopy(claim or spec["names"])
    names["categories"] = [*names.get("categories", ()), "claim" if claim else "composite"]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.{spec['group']}"},
        "spec": {
            "group": spec["group"],
            "names": names,
            "scope": "Namespaced",
            "versions": [_version(each, legacy=claim is not None) for each in spec["versions"]],
        },
    }


def _version(version: Manifest, *, legacy: bool) -> Manifest:
    given = version["schema"]["openAPIV3Schema"]
    spec, status = (copy.deepcopy(given["properties"].get(name, {})) for name in ("spec", "status"))
    length = given["properties"].get("metadata", {}).get("properties", {}).get("name", {}).get("maxLength")
    name = {"type": "string", "maxLength": min(length or _NAME_LENGTH, _NAME_LENGTH)}
    schema: Manifest = {
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": _TEXT,
            "kind": _TEXT,
            "metadata": {"type": "object", "properties": {"name": name}},
            "spec": _kept(spec, _claim_machinery() if legacy else _machinery()),
            "status": _kept(status, {"conditions": _CONDITIONS}),
        },
    }
    schema |= {key: given[key] for key in ("description", "x-kubernetes-validations") if key in given}
    return {
        "name": version["name"],
        "served": version["served"],
        "storage": version["referenceable"],
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [*version.get("additionalPrinterColumns", ()), *_columns(legacy=legacy)],
    }


def _kept(part: Manifest, added: Manifest) -> Manifest:
    """Return what Crossplane keeps of `spec` and `status`, with its own properties."""
    names = ("required", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations", "oneOf", "description")
    kept = {name: part[name] for name in names if name in part}
    return {"type": "object", **kept, "properties": part.get("properties", {}) | copy.deepcopy(added)}


def _machinery() -> Manifest:
    reference = {"type": "object", "required": ["apiVersion", "kind"], "properties": _TYPED}
    references = {"type": "array", "x-kubernetes-list-type": "atomic", "items": reference}
    return {"crossplane": {"type": "object", "properties": {**_MACHINERY, "resourceRefs": references}}}


def _claim_machinery() -> Manifest:
    return {
        **_MACHINERY,
        "compositeDeletePolicy": {"type": "string", "enum": ["Background", "Foreground"]},
        "resourceRef": {"type": "object", "required": ["apiVersion", "kind", "name"], "properties": _TYPED},
        "writeConnectionSecretToRef": _NAMED,
    }


def _columns(*, legacy: bool) -> list[Manifest]:
    def text(name: str, path: str) -> Manifest:
        return {"name": name, "type": "string", "jsonPath": path}

    synced = text("SYNCED", ".status.conditions[?(@.type=='Synced')].status")
    ready = text("READY", ".status.conditions[?(@.type=='Ready')].status")
    age = {"name": "AGE", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
    if legacy:
        return [synced, ready, text("CONNECTION-SECRET", ".spec.writeConnectionSecretToRef.name"), age]
    revision = text("COMPOSITIONREVISION", ".spec.crossplane.compositionRevisionRef.name") | {"priority": 1}
    return [synced, ready, text("COMPOSITION", ".spec.crossplane.compositionRef.name"), revision, age]
