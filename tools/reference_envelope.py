"""JSON Schema of the envelope, from `asya.wire`; and the check of the page about it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import yaml
from pages import read

from asya.errors import WireError
from asya.wire import Envelope, ErrorInfo, Route, Status, decode, headers

TABLE = Path(__file__).resolve().parent.parent / "tests" / "truth-table.yaml"

# Each field of each struct; one that is missing here, or no longer there, fails the check.
FIELDS: dict[type[msgspec.Struct], dict[str, tuple[dict[str, Any], str]]] = {
    Envelope: {
        "id": ({"minLength": 1}, "Id of the message; kept from actor to actor, also by the first result of a fan-out."),
        "parent_id": ({}, "Id of the message this one was fanned out from."),
        "route": ({}, "Where the message has been, is, and goes."),
        "headers": ({}, "Any JSON values by name. Names that begin with x-asya- are the platform's."),
        "payload": ({}, "Any JSON value; null when absent. It is passed on as the bytes it came as."),
        "status": ({}, "How the message stands."),
        "flow": ({"type": "object"}, "Reserved for compiled flows; passed on untouched."),
    },
    Route: {
        "curr": ({}, "The actor whose turn it is; empty at the end of the route."),
        "prev": ({}, "Actors that are done, the first one first."),
        "next": ({}, "Actors to come, the next one first."),
    },
    Status: {
        "phase": ({}, "Where the message stands."),
        "reason": ({}, "Why it stands there."),
        "actor": ({}, "The actor that wrote this status last."),
        "attempt": ({"minimum": 1}, "Number of the attempt at the present actor; the first one is 1."),
        "max_attempts": ({"minimum": 0}, "Attempts that the matched policy allows; 0 until one is matched."),
        "created_at": ({}, "RFC 3339 time at which the message came into being; written with milliseconds, in UTC."),
        "updated_at": ({}, "RFC 3339 time of this status."),
        "deadline_at": ({}, "RFC 3339 time after which the message is not worked on any more."),
        "error": ({}, "What went wrong last; cleared by the next success."),
        "partial": ({"minimum": 0}, "Results that had been published when a streaming handler failed for good."),
    },
    ErrorInfo: {
        "type": ({}, "Class of the error; built-in ones by name, others as module.Qualname."),
        "message": ({}, "Its text."),
        "mro": ({}, "Its base classes, nearest first, without object and BaseException."),
        "traceback": ({}, "Its traceback."),
    },
}
_REQUIRED = {Envelope: ["id", "route"], Route: ["curr"]}
# Absent and null are the same for these; the rest must have their type.
_NULLABLE = {"headers", "status", "flow"}
_NOT_ON_THE_WIRE = {"extra"}
_HEADER_SCHEMAS = {
    headers.HOP: {"type": "integer", "minimum": 0, "maximum": 999_999_999},
    headers.MESH_STATUS: {"type": "string"},
}


def envelope_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of an envelope. Unknown fields are allowed: they are kept."""
    nested = {struct.__name__: _object(struct) for struct in FIELDS if struct is not Envelope}
    top = {"title": "Envelope", "description": "One message with its route.", **_object(Envelope)}
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **top, "$defs": nested}
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


def _object(struct: type[msgspec.Struct]) -> dict[str, Any]:
    known = FIELDS[struct]
    fields = [field for field in msgspec.structs.fields(struct) if field.name not in _NOT_ON_THE_WIRE]
    if [field.name for field in fields] != list(known):
        raise ValueError(f"{struct.__name__} has other fields than tools/reference_envelope.py describes")
    schemas, _ = msgspec.json.schema_components([field.type for field in fields])
    properties = {}
    for field, schema in zip(fields, schemas, strict=True):
        more, description = known[field.name]
        properties[field.name] = {**_typed(field.name, {**schema, **more}), "description": description}
    if struct is Envelope:
        properties["headers"]["properties"] = _HEADER_SCHEMAS
    return {"type": "object", "properties": properties, "required": _REQUIRED.get(struct, [])}


def _typed(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    if name.endswith("_at"):
        schema = {**schema, "format": "date-time"}
    if name in _NULLABLE and "type" in schema:
        schema = {**schema, "type": [schema["type"], "null"]}
    return schema


def envelope_page_problems(page: Path) -> list[str]:
    """Return what the page leaves out or gets wrong, a sentence each."""
    if not page.is_file():
        return [f"{page} does not exist"]
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`([^`\n]+)`", text))
    problems = [f"{page} does not name `{word}`" for word in sorted(_words() - named)]
    examples = [block for block in read(page).blocks if block.language == "json"]
    if not examples:
        problems.append(f"{page} shows no envelope")
    for block in examples:
        try:
            decode(block.text.encode())
            jsonschema.validate(json.loads(block.text), envelope_schema(), jsonschema.Draft202012Validator)
        except (WireError, ValueError, jsonschema.ValidationError) as error:
            problems.append(f"{page}:{block.line}: no envelope: {str(error).splitlines()[0]}")
    return problems


def _words() -> set[str]:
    """Return every field, reserved header, phase and reason."""
    words = {name for fields in FIELDS.values() for name in fields}
    words |= {value for name, value in vars(headers).items() if name.isupper()}
    phases = msgspec.json.schema_components([Status])[1]["Status"]["properties"]["phase"]["enum"]
    rows = [
        row
        for group in yaml.safe_load(TABLE.read_text(encoding="utf-8")).values()
        if isinstance(group, list)
        for row in group
    ]
    reasons = {
        reason for row in rows if isinstance(row, dict) for reason in str(row.get("reason", "")).split(" | ") if reason
    }
    return words | set(phases) | reasons
