"""Is an object one that its provider would take? By the table in crossplane/providers/fields.yaml, strictly."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

TABLE = Path(__file__).resolve().parents[3] / "crossplane" / "providers" / "fields.yaml"
_TYPES = {"string": str, "number": (int, float), "boolean": bool, "object": dict}


def kinds() -> dict[tuple[str, str], Mapping[str, Any]]:
    """The table by apiVersion and kind."""
    document = yaml.safe_load(TABLE.read_text())
    return {(f"{each['group']}/{each['version']}", key.rpartition("/")[2]): each for key, each in document.items()}


def faults(manifest: Mapping[str, Any]) -> list[str]:
    """What the provider would not take of the object; nothing when it is good."""
    kind = kinds().get((manifest["apiVersion"], manifest["kind"]))
    if kind is None:
        return [f"{manifest['apiVersion']} {manifest['kind']}: not in the table"]
    found = list(_compare(manifest["spec"], kind["spec"], "spec"))
    given = manifest["spec"].get("forProvider", {})
    found += [
        f"spec.forProvider.{name}: needed"
        for name in kind.get("forProvider_needed_to_create", ())
        if not given.get(name)
    ]
    return found


def _compare(value: Any, schema: Any, path: str) -> Iterator[str]:
    if isinstance(schema, dict):
        if not isinstance(value, dict):
            yield f"{path}: not an object"
            return
        fields = {name.removesuffix("*"): (name.endswith("*"), each) for name, each in schema.items()}
        for name in value.keys() - fields.keys():
            yield f"{path}.{name}: unknown"
        for name, (required, each) in fields.items():
            if name in value:
                yield from _compare(value[name], each, f"{path}.{name}")
            elif required:
                yield f"{path}.{name}: required"
    elif isinstance(schema, list):
        if not isinstance(value, list):
            yield f"{path}: not a list"
            return
        for place, item in enumerate(value):
            yield from _compare(item, schema[0], f"{path}[{place}]")
    elif schema == "map of string":
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
            yield f"{path}: not a map of text"
    else:
        yield from _compare_plain(value, str(schema), path)


def _compare_plain(value: Any, schema: str, path: str) -> Iterator[str]:
    name = schema.split(maxsplit=1)[0]
    if not isinstance(value, _TYPES[name]) or (name == "number" and isinstance(value, bool)):
        yield f"{path}: not of type {name}"
        return
    choice = re.search(r"\benum (\S+)", schema)
    if choice and value not in choice[1].split("|"):
        yield f"{path}: {value!r} is none of {choice[1]}"
