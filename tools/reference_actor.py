"""`docs/reference/asyncactor.md` from the models."""

from __future__ import annotations

import json
from collections.abc import Iterator

from asya.api.kubernetes_parts import MARK, version
from asya.api.rules import RULES
from asya.api.schema import FieldSchema, describe, document_schema, resolve

INTRODUCTION = """\
# AsyncActor

<!-- Generated from asya.api by `make docs`; edit the models, not this page. -->

One actor: a function, the queue in front of it, and how it is run. `asya validate FILE...` tells everything that is
wrong with a manifest; [asyncactor.schema.json](asyncactor.schema.json) is the same as JSON Schema (draft 2020-12), for
editors. A smallest manifest:

```yaml
apiVersion: asya.sh/v1alpha1
kind: AsyncActor
metadata:
  name: greeter
spec:
  image: greeter:1.0
  handler: handler.greet
```

Unknown fields are errors, also in parts of Kubernetes, which are as in version VERSION. Durations are numbers with a
unit, `ms`, `s`, `m` or `h`, and may be added up: `1h30m`. Amounts are those of Kubernetes: `500m`, `2Gi`. Where the
default is "none", the text says what holds then.

"""


def actor_page() -> str:
    """Return the page."""
    sections = "\n".join(_section(path, schema) for path, schema in _objects(document_schema(), ""))
    rules = "\n".join(f"- {rule.doc}" for rule in RULES)
    return f"{INTRODUCTION.replace('VERSION', version())}{sections}\n## Rules across fields\n\n{rules}\n"


def _objects(schema: FieldSchema, path: str) -> Iterator[tuple[str, FieldSchema]]:
    """Yield every object with fields of its own, by its path; what several places share is told once."""
    seen: set[str] = set()

    def walk(schema: FieldSchema, path: str) -> Iterator[tuple[str, FieldSchema]]:
        schema = resolve(schema)
        if "properties" in schema:
            if (key := _key(schema)) in seen:
                return
            seen.add(key)
            yield path, schema
            for name, inner in schema["properties"].items():
                yield from walk(inner, f"{path}.{name}" if path else name)
        elif isinstance(schema.get("items"), dict):
            yield from walk(schema["items"], path + "[]")
        elif isinstance(schema.get("additionalProperties"), dict):
            yield from walk(schema["additionalProperties"], path + ".NAME")

    yield from walk(schema, path)


def _key(schema: FieldSchema) -> str:
    """Tell shared objects apart by their fields: a field's own description replaces its object's."""
    return json.dumps(schema["properties"], sort_keys=True)


def _section(path: str, schema: FieldSchema) -> str:
    required = schema.get("required", [])
    rows = "\n".join(
        _row(name, resolve(inner), is_required=name in required) for name, inner in schema["properties"].items()
    )
    more = f"\nEverything else is as in {_kubernetes(schema)} of Kubernetes.\n" if MARK in schema else ""
    title = f"## `{path}`" if path else "## The document"
    text = " ".join(schema["description"].split())
    return f"{title}\n\n{text}\n{more}\n| field | takes | default | meaning |\n|---|---|---|---|\n{rows}\n"


def _row(name: str, schema: FieldSchema, *, is_required: bool) -> str:
    default = "required" if is_required else _default(schema.get("default"))
    meaning = " ".join(schema["description"].split())
    return f"| `{name}` | {_cell(_takes(schema))} | {_cell(default)} | {_cell(meaning)} |"


def _kubernetes(schema: FieldSchema) -> str:
    *_, group, version, kind = schema[MARK].split(".")
    return f"{kind} ({group}/{version})"


def _default(value: object) -> str:
    if value is None or value in ([], {}):
        return "none"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def _takes(schema: FieldSchema) -> str:
    if isinstance(schema.get("items"), dict):
        inner = resolve(schema["items"])
        entries = "objects" if "properties" in inner else f"entries, each {describe(inner)}"
        return f"{describe(schema)} of {entries}" if describe(schema) == "a list" else f"{describe(schema)}; {entries}"
    if isinstance(schema.get("additionalProperties"), dict):
        inner = resolve(schema["additionalProperties"])
        return "objects by name" if "properties" in inner else f"a mapping, each value {describe(inner)}"
    if MARK in schema and "properties" not in schema:
        return f"{_kubernetes(schema)} of Kubernetes"
    return "an object" if "properties" in schema else describe(schema)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
