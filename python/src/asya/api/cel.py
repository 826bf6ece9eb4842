"""How rules in CEL are written (x-kubernetes-validations)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Validation:
    """One rule in CEL. `field` is the field it is told at, from the place on, as ``.name.name``."""

    rule: str
    message: str
    field: str = ""

    def schema(self) -> dict[str, Any]:
        """Return it as the schema writes it."""
        return {"rule": self.rule, "message": self.message} | ({"fieldPath": self.field} if self.field else {})


def map_names(names: dict[str, Any], expected: str) -> list[dict[str, Any]]:
    """Return the rules about the names in a map, which a Kubernetes schema has no other words for."""
    found = []
    if pattern := names.get("pattern"):
        rule = f"self.all(name, name.matches({text(pattern)}))"
        found.append(Validation(rule, f"expected {expected} as name").schema())
    if longest := names.get("maxLength"):
        rule = f"self.all(name, size(name) <= {longest})"
        found.append(Validation(rule, f"expected names of at most {longest} characters").schema())
    return found


def text(value: str) -> str:
    """Return `value` as a CEL literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def texts(values: Sequence[str]) -> str:
    """Return `values` as a CEL literal, a list."""
    return "[" + ", ".join(text(value) for value in values) + "]"


def has(path: str) -> str:
    """Return the test that every part of `path`, as ``a.b``, is there."""
    parts = path.split(".")
    return " && ".join(f"has(self.{'.'.join(parts[: end + 1])})" for end in range(len(parts)))


def value(path: str, default: str) -> str:
    """Return the value at `path` below a parent that is there, `default` (in CEL) where it is absent."""
    return f"(has({path}) ? {path} : {default})"


def unique(name: str) -> str:
    """Return the test that no two entries of a list have the same `name`; entries may be without."""
    return f"self.filter(a, has(a.{name})).all(a, self.exists_one(b, has(b.{name}) && b.{name} == a.{name}))"
