"""The definition of the composition's input. Nothing serves it; it is in the package for people and for validators."""

from __future__ import annotations

from asya.api.crd import structural
from asya_composer.model import Manifest
from asya_composer.settings import API_VERSION, KIND, Settings

PLURAL = "inputs"


def definition() -> Manifest:
    """Return the CustomResourceDefinition."""
    group, _, version = API_VERSION.partition("/")
    schema = structural(Settings.model_json_schema())
    # The API server has its own for these three.
    properties = {name: value for name, value in schema["properties"].items() if name not in _OF_EVERY_OBJECT}
    own = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    names = {
        "kind": KIND,
        "listKind": f"{KIND}List",
        "plural": PLURAL,
        "singular": KIND.lower(),
        "categories": ["asya"],
    }
    versions = [
        {
            "name": version,
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": {**schema, "properties": {**own, **properties}}},
        }
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{group}"},
        "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": versions},
    }


_OF_EVERY_OBJECT = ("apiVersion", "kind", "metadata")
