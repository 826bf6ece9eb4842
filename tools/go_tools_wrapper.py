"""The module that wraps a tool, as texts.

A wrapper is a module of our own that requires the tool's module, repeats the replacements which `go install` refuses,
and carries the tool's own `go.sum`, so that its dependencies are those its authors locked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from go_tools_plan import Module, PlanError, Tool

WRAPPER = "asya.sh/tools/wrapper"
UNVERSIONED = "v0.0.0"


def wrapper(tool: Tool, upstream: Sequence[Mapping[str, Any]]) -> str:
    """Return the text of the wrapper's go.mod.

    Args:
        tool: What is built.
        upstream: The go.mod of each of its modules, in their order, as `go mod edit -json` prints it.
    """
    language = max((str(file.get("Go", "1.21")) for file in upstream), key=_release, default="1.21")
    lines = [f"module {WRAPPER}", "", f"go {language}", ""]
    lines += [f"require {module.path} {module.version}" for module in tool.modules]
    replaced: dict[str, str] = {}
    for module, file in zip(tool.modules, upstream, strict=True):
        replaced |= _replacements(module, file)
    # A module that is required here by its version must not be replaced by another one's.
    for module in tool.modules:
        replaced.pop(module.path, None)
    lines += [f"replace {old} => {new}" for old, new in replaced.items()]
    return "\n".join(lines) + "\n"


def sums(tool: Tool, own: Iterable[tuple[str, str]], upstream: Iterable[str]) -> str:
    """Return the text of the wrapper's go.sum.

    Args:
        tool: What is built.
        own: For each of its modules, the hashes of the module and of its go.mod.
        upstream: The text of the go.sum of each of its modules.
    """
    lines = [line for text in upstream for line in text.splitlines() if line]
    for module, (content, file) in zip(tool.modules, own, strict=True):
        lines += [f"{module.path} {module.version} {content}", f"{module.path} {module.version}/go.mod {file}"]
    return "\n".join(sorted(set(lines))) + "\n"


def _replacements(module: Module, file: Mapping[str, Any]) -> dict[str, str]:
    """Return the module's replacements; those by folders of its own repository are published modules to us."""
    found: dict[str, str] = {}
    for entry in file.get("Replace") or ():
        old, new = entry["Old"], entry["New"]
        if not new["Path"].startswith("."):
            found[" ".join(filter(None, (old["Path"], old.get("Version"))))] = f"{new['Path']} {new['Version']}"
    for entry in file.get("Require") or ():
        if entry["Version"] == UNVERSIONED:
            if not module.staging:
                raise PlanError(f"{module.path} requires {entry['Path']} {UNVERSIONED}: `staging` must say what it is")
            found[entry["Path"]] = f"{entry['Path']} {module.staging}"
    return found


def _release(version: str) -> tuple[int, ...]:
    """Return the numbers of a Go release such as 1.26.3, to compare by."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())
