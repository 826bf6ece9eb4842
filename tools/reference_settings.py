"""`docs/reference/settings.md` from the settings classes, `docs/reference/errors.md` from `asya.errors`."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any

import asya_runtime
from asya import errors
from asya.crew.settings import CrewSettings
from asya.operator.settings import OperatorSettings
from asya.policy import format_duration
from asya.settings import Variable
from asya_sidecar.settings import SidecarSettings

SETTINGS = """\
# Settings

<!-- Generated from the settings classes by `make docs`; edit them, not this page. -->

What each process reads from its environment, once, at its start. All problems are told at once. In a cluster and under
`asya up` most of these are set from the manifest: write the field, not the variable. An empty variable counts as
absent.

Every variable of the sidecar and the crew can be given as a file instead: with `_FILE` after its name it holds a path,
and the file holds the value. Secrets, marked 🔒, are never shown in logs and errors.

"""
ERRORS = """\
# Errors

<!-- Generated from asya.errors by `make docs`; edit the classes, not this page. -->

Every error that is raised on purpose has a code: a stable text for logs, metrics and machine-readable output. A code
never changes its meaning.

| code | class | a kind of | meaning |
|---|---|---|---|
"""
_ATTRIBUTE = re.compile(r"^\w+: `(ASYA_\w+)`, (.*)$")


def settings_page() -> str:
    """Return the page of all variables."""
    parts = [SETTINGS]
    for heading, cls in (("Sidecar", SidecarSettings), ("Crew", CrewSettings), ("Operator", OperatorSettings)):
        parts += [_section(f"## {heading}", cls), *(_section(f"### {title}", inner) for title, inner in _nested(cls))]
    return "\n".join(parts) + "\n" + _runtime()


def errors_page() -> str:
    """Return the page of error codes."""
    found = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, errors.AsyaError)]
    rows = []
    for cls in sorted(found, key=lambda cls: cls.code):
        base = cls.__bases__[0]
        parent = f"`{base.code}`" if issubclass(base, errors.AsyaError) else "none"
        rows.append(f"| `{cls.code}` | `{cls.__name__}` | {parent} | {_first_line(cls)} |\n")
    return ERRORS + "".join(rows)


def _nested(cls: type) -> Iterator[tuple[str, type]]:
    for field in dataclasses.fields(cls):
        if (inner := field.metadata.get("nested")) is not None:
            yield _first_line(inner).rstrip("."), inner
            yield from _nested(inner)


def _section(heading: str, cls: type) -> str:
    rows = [_row(field, field.metadata["asya"]) for field in dataclasses.fields(cls) if "asya" in field.metadata]
    table = "| variable | takes | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows)
    first = "" if heading.startswith("### ") else f"{_first_line(cls)}\n\n"
    return f"{heading}\n\n{first}{table}\n"


def _row(field: dataclasses.Field[Any], variable: Variable) -> str:
    required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    default = "required" if required else _default(field.default, variable)
    name = f"`{variable.name}`" + (" 🔒" if variable.secret else "")
    return f"| {name} | {_cell(variable.expected)} | {default} | {_cell(variable.doc)} |"


def _default(value: Any, variable: Variable) -> str:  # noqa: ANN401  a field of any type
    """Write a default the way it would be written in the environment: so that reading it gives the same again."""
    if value is None or value == ():
        return "none"
    texts = [str(value).lower() if isinstance(value, bool) else str(value), "{}"]
    if isinstance(value, tuple):
        texts.append(",".join(value))
    elif isinstance(value, int | float):
        texts += [format_duration(value), f"{int(value):o}"]
    for text in texts:
        with contextlib.suppress(ValueError, errors.AsyaError):
            if variable.parse(text) == value:
                return f"`{text}`"
    raise ValueError(f"{variable.name}: cannot write its default {value!r} so that it reads the same")


def _runtime() -> str:
    """Return the runtime's section: that file stands alone, so its settings are told by their docstring."""
    lines = inspect.cleandoc(asya_runtime.Settings.__doc__ or "").splitlines()
    entries: list[str] = []
    for line in lines[lines.index("Attributes:") + 1 :]:
        if line.startswith("        "):
            entries[-1] += " " + line.strip()
        else:
            entries.append(line.strip())
    rows = []
    for entry in entries:
        if not (found := _ATTRIBUTE.match(entry)):
            raise ValueError(f"asya_runtime.Settings: {entry!r} does not name its variable")
        text = found[2].replace("``", "`")
        rows.append(f"| `{found[1]}` | {_cell(text[0].upper() + text[1:])} |")
    table = "| variable | meaning |\n|---|---|\n" + "\n".join(rows)
    return f"## Runtime\n\nIn your container, beside your code; it has no `_FILE` form.\n\n{table}\n"


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").splitlines()[0]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<")
