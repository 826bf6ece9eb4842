"""What is wrong with a manifest, told so that it can be mended: place, what was expected, what was found."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from asya.api.actor import ActorSpec, AsyncActor
from asya.api.paths import Path
from asya.api.schema import FieldSchema, describe, field_names, model_schema, places_of, schema_at
from asya.policy.durations import DURATION_PATTERN

_SHOWN = 80
_MOVED = {
    "minReplicas": "minReplicaCount",
    "maxReplicas": "maxReplicaCount",
    "timeout": "actorTimeout",
    "workload": "image, handler, resources and the other fields of the pod, directly under spec",
    "retry": "policies",
    "template": "image, handler, resources and the other fields of the pod, directly under spec",
}
"""Fields as older or related APIs call them."""
_MANIFEST = (AsyncActor, ActorSpec)
"""Models whose readers are helped by a place in a manifest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing to mend. `line` is 1-based, 0 for a file or folder as a whole; `path` is empty for a whole document.

    `expected` and `found` are words.
    """

    file: str
    line: int
    path: str
    message: str
    expected: str | None = None
    found: str | None = None

    def __str__(self) -> str:
        """``file:line: path: message``."""
        place = f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        return place + (f"{self.path}: {self.message}" if self.path else self.message)


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem before its file and line are known."""

    path: Path
    message: str
    expected: str | None = None
    found: str | None = None


def show(value: object) -> str:
    """Say in a few words what a value is; long texts are cut."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def findings(error: ValidationError, data: object, model: type[BaseModel] = AsyncActor) -> list[Finding]:
    """Translate pydantic's errors over `data`, which was read as `model`."""
    found: dict[Path, Finding] = {}
    for detail in error.errors(include_url=False):
        finding = _finding(detail, data, model)
        found.setdefault(finding.path, finding)
    return list(found.values())


def _finding(detail: ErrorDetails, data: object, model: type[BaseModel]) -> Finding:
    path, value = _follow(detail["loc"], detail["type"], data)
    if detail["type"] == "extra_forbidden":
        return Finding(path, _unknown(path, model))
    schema = schema_at(path, model)
    if detail["loc"] and detail["loc"][-1] == "[key]":
        expected = _key_expected(path, model)
        return Finding(path, f"expected {expected} as name, found {show(path[-1])}", expected, show(path[-1]))
    expected = describe(schema) if schema else "something else"
    if detail["type"] == "duration_zero":
        expected = "a duration longer than 0"
    if detail["type"] == "string_too_long":
        expected += f" of at most {detail['ctx']['max_length']} characters"
    if detail["type"] == "missing":
        return Finding(path, f"missing; expected {expected}", expected, "nothing")
    hint = _hint(detail["type"], schema or {}, value)
    return Finding(path, f"expected {expected}, found {show(value)}{hint}", expected, show(value))


def _hint(kind: str, schema: FieldSchema, value: object) -> str:
    if kind == "handler_file":
        return f"; write module.function, for example {str(value).removesuffix('.py')}.f"
    if kind != "string_type" or not isinstance(value, int | float):
        return ""
    if schema.get("pattern") == DURATION_PATTERN:
        return f"; did you mean {value}s?"
    text = json.dumps(value)
    return f'; write it in quotes: "{text}"' if re.search(schema.get("pattern", ""), text) else ""


def _follow(loc: tuple[str | int, ...], kind: str, data: object) -> tuple[Path, Any]:
    """Return the path of `loc` in `data` and the value there, None for a missing one.

    `loc` also holds names of union members and validators; what leads nowhere is left out.
    """
    path: list[str | int] = []
    value: Any = data
    for part in loc[:-1] if kind == "missing" else loc:
        try:
            value = value[part]
        except (LookupError, TypeError):
            continue
        path.append(part)
    return ((*path, loc[-1]), None) if kind == "missing" else (tuple(path), value)


def _key_expected(path: Path, model: type[BaseModel]) -> str:
    schema = schema_at(path[:-1], model)
    names = schema.get("propertyNames") if schema else None
    return describe(names) if names else "another text"


def _unknown(path: Path, model: type[BaseModel]) -> str:
    name = str(path[-1])
    if name in _MOVED:
        return (
            f"unknown field; it is called {_MOVED[name]} here"
            if "," not in _MOVED[name]
            else f"unknown field; write {_MOVED[name]}"
        )
    here: FieldSchema = schema_at(path[:-1], model) or model_schema(model)
    known = list(here.get("properties", {}))
    elsewhere = places_of(name) if model in _MANIFEST else []
    if elsewhere and name not in known:
        return f"unknown field here; it belongs at {' or '.join(elsewhere[:3])} (look at the indentation)"
    if name.lower() in (folded := {field.lower(): field for field in known}):
        return f"unknown field; did you mean {folded[name.lower()]}?"
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"unknown field; did you mean {close[0]}?"
    far = difflib.get_close_matches(name, field_names(), n=1, cutoff=0.8) if model in _MANIFEST else []
    if far:
        return f"unknown field; did you mean {' or '.join(places_of(far[0])[:3])}?"
    return f"unknown field; known here: {', '.join(sorted(known))}"
