"""``values.schema.json`` of a chart: closed, so that a misspelt value is an error and not a surprise."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable
from typing import Any

from charts_values import ChartError, Value

# Keywords of ours: the model whose schema says what the value may hold, and fields of it that the chart writes itself.
MODEL = "model"
WITHOUT = "without"


def schema_json(title: str, values: list[Value]) -> str:
    """Return the schema as the text of ``values.schema.json``, in draft 7, which Helm 3 knows too.

    Raises:
        ChartError: Two models call different things by one name.
    """
    definitions: dict[str, Any] = {}
    root: dict[str, Any] = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"Values of the chart {title}",
    }
    root |= _closed(values, definitions)
    if definitions:
        root["definitions"] = dict(sorted(definitions.items()))
    return json.dumps(root, indent=1, ensure_ascii=False) + "\n"


def _closed(values: list[Value], definitions: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {value.name: _property(value, definitions) for value in values},
    }


def _property(value: Value, definitions: dict[str, Any]) -> dict[str, Any]:
    described = {"description": value.description} if value.description else {}
    if value.children:
        return described | _closed(value.children, definitions)
    if MODEL in value.keywords:
        return _model(value.keywords[MODEL], value.keywords.get(WITHOUT, ()), definitions)
    kind = {} if {"type", "enum", "oneOf", "anyOf"} & value.keywords.keys() else {"type": _type(value.default)}
    return described | kind | value.keywords


def _type(default: Any) -> str:  # noqa: ANN401 - whatever YAML holds
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names[type(default)]


def _model(reference: str, without: Iterable[str], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return a reference to the schema of a pydantic model given as ``module:Class``; its parts go to `definitions`."""
    module, _, name = reference.partition(":")
    schema = getattr(importlib.import_module(module), name).model_json_schema(
        by_alias=True, ref_template="#/definitions/{model}"
    )
    parts = schema.pop("$defs", {})
    for field in without:
        del schema["properties"][field]
    for key, part in (parts | {name: schema}).items():
        if definitions.setdefault(key, part) != part:
            raise ChartError(f"two models of {reference} and its neighbours are called {key}")
    return {"$ref": f"#/definitions/{name}"}
