"""Parts of the Kubernetes API that are passed on to the pods: checked as the API server decodes them, kept as written.

What it cannot decode (an unknown field, a wrong type) it answers with an error that stops everything that is applied
together, so such a value must never come that far. `kubernetes_parts.json` holds the definitions, cut out of the
published OpenAPI document of Kubernetes by `tools/kubernetes_parts.py`. The validators are made on first use.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic_core import CoreSchema, SchemaValidator, core_schema, from_json

Schema = dict[str, Any]

REFERENCE = "#/$defs/"
MARK = "x-kubernetes-part"
"""Key under which a field's schema names its definition where it does not refer to it."""
_CORE = "io.k8s.api.core.v1."
AFFINITY = f"{_CORE}Affinity"
CONTAINER = f"{_CORE}Container"
EGRESS_RULE = "io.k8s.api.networking.v1.NetworkPolicyEgressRule"
LABEL_SELECTOR = "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"
POD_SECURITY_CONTEXT = f"{_CORE}PodSecurityContext"
PROBE = f"{_CORE}Probe"
SECURITY_CONTEXT = f"{_CORE}SecurityContext"
VARIABLE_SOURCE = f"{_CORE}EnvVarSource"
VOLUME = f"{_CORE}Volume"
ROOTS = (
    AFFINITY, CONTAINER, EGRESS_RULE, LABEL_SELECTOR, POD_SECURITY_CONTEXT, PROBE, SECURITY_CONTEXT, VARIABLE_SOURCE,
    VOLUME,
)  # fmt: skip
"""Definitions that fields of an actor have, in whole."""
NO_SCALAR = "int_or_string"
"""Type of the error of a value that is neither number nor text."""
_INT64 = 2**63 - 1


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = from_json(files("asya.api").joinpath("kubernetes_parts.json").read_bytes())
    return document


def version() -> str:
    """Return the version of Kubernetes that the definitions are from, as ``1.34``."""
    source: str = _document()["source"]
    return ".".join(source.partition("@v")[2].split(".")[:2])


@cache
def definitions() -> dict[str, Schema]:
    """Return the definitions as JSON Schema, by their full names. One shared object: not to be changed."""
    found: dict[str, Schema] = _document()["definitions"]
    return {name: {"type": "object", "additionalProperties": False, **each} for name, each in found.items()}


def check(name: str, value: object) -> None:
    """Check that `value` is what the API server can decode as definition `name`.

    Raises:
        ValidationError: It is not; the places begin at `value`.
    """
    _validator(name).validate_python(value)


@cache
def _validator(name: str) -> SchemaValidator:
    reached: dict[str, CoreSchema] = {}
    waiting = [name]
    while waiting:
        each = waiting.pop()
        if each not in reached:
            reached[each] = {**_core(definitions()[each]), "ref": each}
            waiting += _references(definitions()[each])
    wanted = core_schema.definition_reference_schema(name)
    return SchemaValidator(core_schema.definitions_schema(wanted, list(reached.values())))


def _references(schema: Schema) -> Iterator[str]:
    if "$ref" in schema:
        yield schema["$ref"].removeprefix(REFERENCE)
    for inner in (*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, dict):
            yield from _references(inner)


def _core(schema: Schema) -> CoreSchema:
    """Return a definition, or a part of one, as pydantic's engine reads it."""
    if "$ref" in schema:
        return core_schema.definition_reference_schema(schema["$ref"].removeprefix(REFERENCE))
    if schema.get("x-kubernetes-int-or-string"):
        number = core_schema.int_schema(strict=True, ge=schema.get("minimum"), le=schema.get("maximum"))
        text = core_schema.str_schema(strict=True, pattern=schema.get("pattern"))
        return core_schema.union_schema(
            [number, text],
            custom_error_type=NO_SCALAR,
            custom_error_message="expected a whole number or text",
        )
    match schema["type"]:
        case "string":
            return core_schema.str_schema(strict=True)
        case "boolean":
            return core_schema.bool_schema(strict=True)
        case "integer":
            least, most = schema.get("minimum", -_INT64 - 1), schema.get("maximum", _INT64)
            return core_schema.int_schema(strict=True, ge=least, le=most)
        case "array":
            return core_schema.list_schema(_core(schema["items"]), strict=True)
        case "object" if "properties" in schema:
            required = schema.get("required", ())
            fields = {
                name: core_schema.typed_dict_field(_core(inner), required=name in required)
                for name, inner in schema["properties"].items()
            }
            return core_schema.typed_dict_schema(fields, extra_behavior="forbid", strict=True)
        case "object":
            values = _core(schema["additionalProperties"])
            return core_schema.dict_schema(core_schema.str_schema(), values, strict=True)
        case kind:
            raise TypeError(f"no definition of Kubernetes that is passed on has a field of type {kind!r}")
