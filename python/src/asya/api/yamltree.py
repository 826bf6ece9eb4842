"""YAML and JSON text to values that remember their lines.

Built on PyYAML's node tree, because its loader forgets where a value stood, lets a repeated key win silently, and turns
dates into objects. Scalars are read as Kubernetes' own reader (sigs.k8s.io/yaml) does: no dates, no base-60 numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.reader import ReaderError

from asya.api.paths import Path

MAX_NODES = 100_000
"""Values in one document, aliases counted each time they are used: the guard against expanding aliases without end."""

_INT = re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|[1-9][0-9_]*|0)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_BOOLS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TAG = "tag:yaml.org,2002:"
_PLAIN = _TAG + "plain"
"""Our own tag for a scalar without quotes or tag, whose look decides."""
_BY_LOOK = frozenset(_TAG + kind for kind in ("plain", "int", "float", "bool", "null"))
_TAGS = _BY_LOOK | {_TAG + kind for kind in ("map", "seq", "str", "timestamp", "merge", "value")}


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something wrong in the text itself: where (1-based line; path as far as there is one) and what."""

    line: int
    message: str
    path: Path = ()


@dataclass(slots=True)
class Document:
    """One document: its value, the line of every path in it (of the key, where there is one), and what was wrong."""

    value: Any
    line: int
    lines: dict[Path, int] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def line_of(self, path: Path) -> int:
        """Line of `path`, or of the nearest thing around it that exists."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, self.line)


def read_documents(text: str, *, is_json: bool = False) -> Iterator[Document | Mistake]:
    """Yield the documents in `text`, and, last, the syntax error that ended reading. Empty documents are left out."""
    if is_json:
        try:
            json.loads(text)
        except json.JSONDecodeError as error:
            yield Mistake(error.lineno, f"not JSON: {error.msg} (column {error.colno})")
            return
        except RecursionError:
            yield Mistake(1, "nested too deep")
            return
        text = text.replace("\t", " ")  # JSON strings hold no raw tab, and YAML's reader refuses them as blanks
    try:
        for node in yaml.compose_all(text, _Loader):
            if node.tag != _PLAIN or node.value:
                yield _Reader().document(node)
    except yaml.YAMLError as error:
        yield _syntax_error(error, text)
    except RecursionError:
        yield Mistake(1, "nested too deep")


def _syntax_error(error: yaml.YAMLError, text: str) -> Mistake:
    if isinstance(error, ReaderError):
        return Mistake(
            text.count("\n", 0, error.position) + 1, f"not YAML: character {error.character:#06x} is not allowed"
        )
    if not isinstance(error, yaml.MarkedYAMLError):
        return Mistake(1, "not YAML: " + " ".join(str(error).split()))
    mark = error.problem_mark or error.context_mark
    where = f" (column {mark.column + 1})" if mark else ""
    hint = "; indent with blanks, not tabs" if "\\t" in (error.problem or "") else ""
    text = ", ".join(part for part in (error.context, error.problem) if part)
    return Mistake(mark.line + 1 if mark else 1, f"not YAML: {text}{where}{hint}")


class _Loader(yaml.SafeLoader):
    """Leaves it to us what a plain scalar is."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:  # noqa: ANN401  as in the base class
        if kind is yaml.ScalarNode and implicit[0]:
            return _TAG + "merge" if value == "<<" else _PLAIN
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]


class _TooMuchError(Exception):
    pass


class _Reader:
    """Turns one node tree into a `Document`."""

    def __init__(self) -> None:
        self._lines: dict[Path, int] = {}
        self._mistakes: list[Mistake] = []
        self._seen = 0
        self._open: set[int] = set()

    def document(self, node: yaml.Node) -> Document:
        line = node.start_mark.line + 1
        try:
            value = self._value(node, ())
        except _TooMuchError:
            value = None
            self._mistakes.append(Mistake(line, f"more than {MAX_NODES} values in one document"))
        return Document(value, line, self._lines, self._mistakes)

    def _value(self, node: yaml.Node, path: Path) -> Any:  # noqa: ANN401  any JSON value
        self._seen += 1
        if self._seen > MAX_NODES:
            raise _TooMuchError
        self._lines.setdefault(path, node.start_mark.line + 1)
        if node.tag not in _TAGS:
            self._mistakes.append(Mistake(node.start_mark.line + 1, f"the tag {node.tag} is not known here", path))
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            self._mistakes.append(Mistake(node.start_mark.line + 1, "an alias that contains itself", path))
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _TAG + "merge":
                for inherited in self._merged(value_node, path):
                    merged = {**inherited, **merged}
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self._mistakes.append(Mistake(line, "a key must be text", path))
                continue
            key = self._text(key_node, path)
            if key in first:
                message = f"key {key!r} is given twice; first on line {first[key]}"
                self._mistakes.append(Mistake(line, message, (*path, key)))
                continue
            first[key] = self._lines[(*path, key)] = line
            own[key] = self._value(value_node, (*path, key))
        return {**merged, **own}

    def _merged(self, node: yaml.Node, path: Path) -> list[dict[str, Any]]:
        """Read what ``<<`` pulls in: a mapping or a list of them."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not all(isinstance(each, yaml.MappingNode) for each in nodes):
            self._mistakes.append(Mistake(node.start_mark.line + 1, "<< takes a mapping or a list of mappings", path))
            return []
        return [self._value(each, path) for each in nodes]

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:  # noqa: ANN401  any JSON scalar
        text = self._text(node, path)
        return _plain(text) if node.tag in _BY_LOOK else text

    def _text(self, node: yaml.ScalarNode, path: Path) -> str:
        """Return a scalar's text; JSON writes a character beyond the basic plane as two escapes."""
        text = str(node.value)
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._mistakes.append(Mistake(node.start_mark.line + 1, "half of a surrogate pair is no character", path))
            return ""


def _plain(text: str) -> Any:  # noqa: ANN401  any JSON scalar
    if text in _NULL:
        return None
    if text in {text.lower(), text.title(), text.upper()} and text.lower() in _BOOLS:
        return _BOOLS[text.lower()]
    if _INT.fullmatch(text):
        digits = text.replace("_", "")
        legacy_octal = re.fullmatch(r"[-+]?0[0-7]+", digits)
        return int(digits, 8) if legacy_octal else int(digits, 0)
    return float(text) if _FLOAT.fullmatch(text) else text
