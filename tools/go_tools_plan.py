"""What is to be built from which Go modules: `versions.toml` read and checked."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any


class PlanError(ValueError):
    """`versions.toml` or a name on the command line is wrong; the message says what and where."""


@dataclass(frozen=True)
class Module:
    """A Go module, pinned. `sum` is its hash as in a go.sum; `staging` the version of what it requires as v0.0.0."""

    name: str
    path: str
    version: str
    sum: str
    staging: str = ""

    @property
    def query(self) -> str:
        """The module as Go's command line names it."""
        return f"{self.path}@{self.version}"


@dataclass(frozen=True)
class Tool:
    """A program: package `package` of the first module, or the file `main` of ours; `binary` is the file's name."""

    name: str
    group: str
    modules: tuple[Module, ...]
    package: str
    main: str
    binary: str
    ldflags: tuple[str, ...]

    @property
    def version(self) -> str:
        """The version of its module."""
        return self.modules[0].version if self.modules else "own"

    @property
    def target(self) -> str:
        """The package that is built, as `go build` takes it."""
        if self.main:
            return "."
        return f"{self.modules[0].path}/{self.package}".rstrip("/")

    @property
    def linker(self) -> str:
        """The value of `-ldflags`: no symbol tables, and the variables that carry the version."""
        return " ".join(["-s -w", *(f"-X {assignment}" for assignment in self.ldflags)])


@dataclass(frozen=True)
class Plan:
    """All modules and tools of a `versions.toml`, by name, in the file's order."""

    modules: dict[str, Module]
    tools: dict[str, Tool]

    def choose(self, words: Sequence[str]) -> list[Tool]:
        """Return the tools that names of tools and groups mean, each once, in the order asked for.

        Raises:
            PlanError: A word is neither a tool nor a group.
        """
        chosen: dict[str, Tool] = {}
        for word in words:
            found = [tool for tool in self.tools.values() if word in (tool.name, tool.group)]
            if not found:
                raise PlanError(f"no tool or group is named {word!r}; there are: {', '.join(self.names())}")
            chosen.update((tool.name, tool) for tool in found)
        return list(chosen.values())

    def names(self) -> list[str]:
        """Return every word that `choose` knows, groups first."""
        return [*dict.fromkeys(tool.group for tool in self.tools.values()), *self.tools]


def read_plan(text: str) -> Plan:
    """Read a `versions.toml`.

    Raises:
        PlanError: It is no TOML, a key is unknown or missing, or a tool names a module that is not there.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"no TOML: {error}") from None
    modules = {name: _module(name, table) for name, table in document.get("module", {}).items()}
    return Plan(modules, {name: _tool(name, table, modules) for name, table in document.get("tool", {}).items()})


def key(tool: Tool, main: str, platform: str) -> str:
    """Return 12 hex digits of all that decides what is built: the pins, the flags, our own Go file, the platform."""
    content = json.dumps([asdict(tool), main, platform], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _module(name: str, table: Mapping[str, Any]) -> Module:
    _keys(f"module.{name}", table, {"path", "version", "sum"}, {field.name for field in fields(Module)} - {"name"})
    return Module(name=name, **table)


def _tool(name: str, table: Mapping[str, Any], modules: Mapping[str, Module]) -> Tool:
    where = f"tool.{name}"
    _keys(where, table, {"group"}, {field.name for field in fields(Tool)} - {"name"})
    if ("package" in table) == ("main" in table):
        raise PlanError(f"{where}: either `package` or `main`")
    unknown = [module for module in table.get("modules", ()) if module not in modules]
    if unknown or not (table.get("modules") or "main" in table):
        raise PlanError(f"{where}: `modules` must name modules of this file, not {unknown}")
    used = tuple(modules[module] for module in table.get("modules", ()))
    values = {word: value for module in used for word, value in _words(module)}
    return Tool(
        name=name,
        group=table["group"],
        modules=used,
        package=table.get("package", ""),
        main=table.get("main", ""),
        binary=table.get("binary", name),
        ldflags=tuple(_filled(where, flag, values) for flag in table.get("ldflags", ())),
    )


def _words(module: Module) -> Iterator[tuple[str, str]]:
    """Yield what ldflags can name of a module: its version, and the version's first two numbers."""
    major, minor, *_ = module.version.removeprefix("v").split(".")
    yield from ((module.name, module.version), (f"{module.name}_major", major), (f"{module.name}_minor", minor))


def _filled(where: str, flag: str, values: Mapping[str, str]) -> str:
    try:
        return flag.format(**values)
    except KeyError as error:
        raise PlanError(f"{where}: ldflags name {error}, which is nothing of its modules") from None


def _keys(where: str, table: Mapping[str, Any], needed: set[str], allowed: set[str]) -> None:
    if missing := needed - table.keys():
        raise PlanError(f"{where}: {', '.join(sorted(missing))} missing")
    if unknown := table.keys() - allowed:
        raise PlanError(f"{where}: {', '.join(sorted(unknown))} unknown")


def read_mains(tool: Tool, folder: Path) -> str:
    """Return our own Go file of a tool, or nothing.

    Raises:
        PlanError: The file is not there.
    """
    if not tool.main:
        return ""
    try:
        return (folder / tool.main).read_text()
    except FileNotFoundError:
        raise PlanError(f"tool.{tool.name}: there is no {folder / tool.main}") from None
