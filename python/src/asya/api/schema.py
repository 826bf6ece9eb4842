"""The JSON Schema of the models, and what a part of it asks for in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel

from asya.api import kubernetes_parts
from asya.api.actor import AsyncActor
from asya.api.fields import EXPECTED, INT32
from asya.api.kubernetes_parts import MARK, REFERENCE
from asya.api.paths import Path

FieldSchema = dict[str, Any]


@cache
def document_schema() -> FieldSchema:
    """Return the JSON Schema (draft 2020-12) of a manifest. One shared object: not to be changed."""
    schema = dict(model_schema(AsyncActor))
    # In Python these two have one value each; in a manifest they tell what it is.
    schema["required"] = ["apiVersion", "kind", *schema["required"]]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


@cache
def model_schema(model: type[BaseModel]) -> FieldSchema:
    """Return the JSON Schema of one of our models. One shared object: not to be changed."""
    schema = tidy(model.model_json_schema())
    return schema | {"$defs": schema.get("$defs", {}) | kubernetes_parts.definitions()}


def tidy(schema: FieldSchema) -> FieldSchema:
    """Write a part of pydantic's schema in the forms that Kubernetes knows too.

    No titles, no null as default; an object's default is empty, for those of its fields are their own; a map with
    constrained names has one schema for its values, and the names' apart; a part of the Kubernetes API refers to its
    definition.
    """
    tidy = {key: _tidy_part(key, value) for key, value in schema.items() if key != "title"}
    if isinstance(tidy.get("default", ()), dict | None):
        default = tidy.pop("default")
        tidy |= {} if default is None else {"default": {}}
    if (patterns := tidy.pop("patternProperties", None)) is not None:
        ((pattern, values),) = patterns.items()
        tidy["additionalProperties"] = values
        tidy["propertyNames"] = {"type": "string", "pattern": pattern, **tidy.get("propertyNames", {})}
    if (part := tidy.pop(MARK, None)) is not None:
        del tidy["additionalProperties"]
        tidy["$ref"] = REFERENCE + part
    return tidy


def _tidy_part(key: str, value: Any) -> Any:  # noqa: ANN401  any part of a schema
    if key in {"properties", "$defs", "patternProperties"}:
        return {name: tidy(inner) for name, inner in value.items()}
    if key in {"anyOf", "allOf", "oneOf"}:
        return [tidy(inner) for inner in value]
    return (
        tidy(value) if key in {"items", "additionalProperties", "propertyNames"} and isinstance(value, dict) else value
    )


def schema_at(path: Path, model: type[BaseModel] = AsyncActor) -> FieldSchema | None:
    """Return the schema of the value at `path` in a `model`, or None where nothing may be."""
    root = model_schema(model)
    here: FieldSchema | None = root
    for part in path:
        here = _inside(follow(here, root["$defs"])[0], part) if here is not None else None
    return None if here is None else follow(here, root["$defs"])[0]


def resolve(schema: FieldSchema) -> FieldSchema:
    """Follow references to definitions of ours, and look through "or null"; of Kubernetes' own only our fields stay."""
    return follow(schema, {name: each for name, each in document_schema()["$defs"].items() if is_ours(name)})[0]


def is_ours(name: str) -> bool:
    """Tell a definition of ours from one of Kubernetes, whose names have dots."""
    return "." not in name


def follow(schema: FieldSchema, definitions: Mapping[str, FieldSchema]) -> tuple[FieldSchema, str]:
    """Follow references, and look through "or null"; return the schema, and the first definition's name or nothing.

    What stands beside a reference is added to what is there; a field that both have is as beside the reference.
    A reference that leads out of `definitions` ends there: its name stays, under `MARK`.
    """
    first = ""
    while True:
        options = [each for each in schema.get("anyOf", []) if each.get("type") != "null"]
        if "$ref" in schema:
            name = schema["$ref"].removeprefix(REFERENCE)
            first = first or name
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            schema = _both(definitions.get(name, {MARK: name}), beside)
        elif len(options) == 1:
            schema = options[0] | {key: value for key, value in schema.items() if key != "anyOf"}
        else:
            return (schema | {"anyOf": options} if options else schema), first


def _both(below: FieldSchema, above: FieldSchema) -> FieldSchema:
    found = below | above
    if "properties" in below and "properties" in above:
        found["properties"] = {**above["properties"], **below["properties"], **above["properties"]}
        found["required"] = sorted({*below.get("required", ()), *above.get("required", ())})
    return found


def _inside(schema: FieldSchema, part: str | int) -> FieldSchema | None:
    if isinstance(part, int):
        found = schema.get("items")
    else:
        found = schema.get("properties", {}).get(part, schema.get("additionalProperties"))
    return found if isinstance(found, dict) else None


def fields(schema: FieldSchema | None = None, prefix: str = "") -> Iterator[tuple[str, FieldSchema, bool]]:
    """Yield (path, schema, is required) of every field, parents first; ``[]`` is any entry, ``.*`` any name."""
    schema = resolve(document_schema() if schema is None else schema)
    for name, inner in schema.get("properties", {}).items():
        path = f"{prefix}.{name}" if prefix else name
        yield path, resolve(inner), name in schema.get("required", [])
        yield from _within(resolve(inner), path)


def _within(schema: FieldSchema, path: str) -> Iterator[tuple[str, FieldSchema, bool]]:
    yield from fields(schema, path) if "properties" in schema else ()
    if isinstance(schema.get("items"), dict):
        yield from _within(resolve(schema["items"]), path + "[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _within(resolve(schema["additionalProperties"]), path + ".*")


@cache
def _places() -> dict[str, list[str]]:
    places: dict[str, list[str]] = {}
    for path, _, _ in fields():
        places.setdefault(path.rpartition(".")[2], []).append(path)
    return places


def places_of(name: str) -> list[str]:
    """Return the paths of the fields called `name`, outermost first."""
    return sorted(_places().get(name, []), key=lambda path: (path.count("."), path))


def field_names() -> list[str]:
    """Return the names of all fields."""
    return list(_places())


def describe(schema: FieldSchema) -> str:
    """Say in words what `schema` takes: ``a whole number ≥ 0``."""
    schema = resolve(schema)
    if "enum" in schema:
        return "one of " + ", ".join(str(value) for value in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if schema.get("pattern") in EXPECTED:
        return EXPECTED[schema["pattern"]]
    if "anyOf" in schema:
        return " or ".join(describe(option) for option in schema["anyOf"])
    match schema.get("type"):
        case "integer":
            return "a whole number" + _bounds(schema)
        case "number":
            return "a number" + _bounds(schema)
        case "boolean":
            return "true or false"
        case "string":
            return (
                "text that is not empty"
                if schema.get("minLength") == 1
                else "text" + _size(schema, "minLength", " of at least {} characters")
            )
        case "array":
            return (
                "a list"
                + _size(schema, "minItems", " with at least {} entry")
                + _size(schema, "maxItems", " of at most {} entries")
            )
        case "object":
            return "a mapping"
        case _:
            return "any value"


def _bounds(schema: FieldSchema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if (low, high) == (-INT32 - 1, INT32):
        return " of 32 bits"
    if low is None:
        return "" if high is None else f" ≤ {high}"
    return f" ≥ {low}" if high is None else f" from {low} to {high}"


def _size(schema: FieldSchema, key: str, text: str) -> str:
    return text.format(schema[key]) if key in schema else ""
