"""The values of a chart as a tree: names, defaults, and what the comments above them say.

Read from ``values.yaml``, where ``# --`` begins the description of the key below it and ``# @schema`` a line of YAML
with JSON Schema keywords that the default value cannot tell (an enum, a pattern, what an empty map or list may hold).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


class ChartError(Exception):
    """Something in a chart's folder is not as the house rules say."""


@dataclass(frozen=True, slots=True)
class Value:
    """One key of ``values.yaml``; `children` are there when it is a map whose keys are all known."""

    path: tuple[str, ...]
    default: Any
    description: str
    keywords: dict[str, Any]
    children: list[Value] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return its last key."""
        return self.path[-1]

    def leaves(self) -> list[Value]:
        """Return what a user sets: itself, or what is below it."""
        return [leaf for child in self.children for leaf in child.leaves()] if self.children else [self]


def read_values(path: Path) -> list[Value]:
    """Read a ``values.yaml``.

    Raises:
        ChartError: A key has no description, or an empty map or list no ``# @schema``; all such keys are named.
    """
    text = path.read_text()
    root = yaml.compose(text)
    if not isinstance(root, yaml.MappingNode):
        raise ChartError(f"{path}: holds no map")
    problems: list[str] = []
    found = _mapping(root, (), text.splitlines(), problems)
    if problems:
        raise ChartError("\n".join(f"{path}: {problem}" for problem in problems))
    return found


def _mapping(node: yaml.MappingNode, above: tuple[str, ...], lines: list[str], problems: list[str]) -> list[Value]:
    return [_value(key, value, above, lines, problems) for key, value in node.value]


def _value(
    key: yaml.ScalarNode, node: yaml.Node, above: tuple[str, ...], lines: list[str], problems: list[str]
) -> Value:
    path = (*above, key.value)
    description, keywords = _comment(key.start_mark.line, lines)
    # A map with keywords is open: what its default holds is an example of it, not the list of its keys.
    closed = isinstance(node, yaml.MappingNode) and bool(node.value) and not keywords
    children = _mapping(node, path, lines, problems) if closed and isinstance(node, yaml.MappingNode) else []
    default = yaml.safe_load(yaml.serialize(node))
    where = ".".join(path)
    if not children and not description:
        problems.append(f"{where} has no description (`# --`)")
    if default in ({}, [], None) and not keywords:
        problems.append(f"{where} is empty and has no `# @schema`")
    return Value(path, default, description, keywords, children)


def _comment(line: int, lines: list[str]) -> tuple[str, dict[str, Any]]:
    """Return description and keywords from the comment lines right above `line` (counted from 0)."""
    first = line
    while first > 0 and lines[first - 1].strip().startswith("#"):
        first -= 1
    words: list[str] = []
    keywords: dict[str, Any] = {}
    begun = False
    for text in (raw.strip().removeprefix("#").strip() for raw in lines[first:line]):
        if text.startswith("@schema"):
            keywords |= yaml.safe_load(text.removeprefix("@schema"))
        elif text.startswith("--"):
            begun, words = True, [text.removeprefix("--").strip()]
        elif begun:
            words.append(text)
    return " ".join(words), keywords
