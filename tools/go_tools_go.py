"""The Go toolchain: what it is asked, and what its complaints mean."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from go_tools_plan import Module, Tool

TOOLCHAIN = Path(__file__).resolve().parent.parent / ".venvs" / "go" / "bin"
SHOWN_LINES = 15
_REASONS = "reading|404|410|dial|lookup|timeout|not found|unknown revision"
_UNFETCHED = re.compile(rf"(\S+@v\S+?):? .*(?:{_REASONS})")


class ToolError(RuntimeError):
    """A tool cannot be had; the message says which, why, and what to do."""


@dataclass(frozen=True)
class Progress:
    """How far a build is: what is being done, and how many packages of how many are compiled."""

    doing: str
    done: int = 0
    of: int = 0


Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Go:
    """A Go toolchain. `jobs` bounds the compilers that run at once; none: as many as there are cores."""

    program: str
    jobs: int | None = None

    def environment(self) -> dict[str, str]:
        """Return what the toolchain runs with: static programs, and nothing of a module or workspace around us."""
        flags = " ".join(filter(None, (os.environ.get("GOFLAGS"), "-mod=mod", "-buildvcs=false")))
        return {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": flags}

    def run(self, folder: Path, *arguments: str) -> str:
        """Run a command to its end and return its output.

        Raises:
            ToolError: It failed.
        """
        command = [self.program, *arguments]
        done = subprocess.run(command, cwd=folder, env=self.environment(), capture_output=True, text=True, check=False)
        if done.returncode and not done.stdout.lstrip().startswith("{"):
            raise ToolError(explain(done.stderr))
        return done.stdout

    def fetch(self, module: Module, folder: Path) -> dict[str, Any]:
        """Return what `go mod download` says of a module that is here now, its hash compared.

        Raises:
            ToolError: It cannot be fetched, or is not what is pinned.
        """
        found: dict[str, Any] = json.loads(self.run(folder, "mod", "download", "-json", module.query))
        if error := found.get("Error"):
            raise ToolError(explain(error))
        if found["Sum"] != module.sum:
            raise ToolError(
                f"{module.query} has the hash {found['Sum']}, but versions.toml pins {module.sum}. If the version was "
                "changed on purpose, pin its hash too; if not, do not use what was fetched"
            )
        return found

    def build(self, tool: Tool, folder: Path, made: Path, report: Report) -> None:
        """Compile a tool in its wrapper's folder.

        Raises:
            ToolError: The compiler refused; the end of its output is in the message.
        """
        report(Progress("resolving and fetching dependencies"))
        total = len(self.run(folder, "list", "-deps", tool.target).splitlines())
        jobs = ["-p", str(self.jobs)] if self.jobs else []
        command = [self.program, "build", "-v", "-trimpath", *jobs, f"-ldflags={tool.linker}", "-o", str(made)]
        said: list[str] = []
        with subprocess.Popen(
            [*command, tool.target], cwd=folder, env=self.environment(), stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            compiled = 0
            report(Progress("compiling", 0, total))
            for line in process.stderr:
                said.append(line)
                compiled += " " not in line.strip()
                report(Progress("compiling", compiled, total))
        if process.returncode:
            raise ToolError(explain("".join(said)))


def toolchain(jobs: int | None = None) -> Go:
    """Return the Go toolchain of this machine, or the one that the repository's lock brought.

    Raises:
        ToolError: There is none.
    """
    program = shutil.which("go") or shutil.which("go", path=str(TOOLCHAIN))
    if program is None:
        raise ToolError("there is no Go toolchain; `python3 tools/environment.py go` brings one, by a locked wheel")
    return Go(program, jobs)


def explain(said: str) -> str:
    """Return what to tell a person about output of a Go command that failed."""
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith("go: downloading")]
    shown = "\n    ".join(lines[-SHOWN_LINES:]) or "no output"
    for line in lines:
        if match := _UNFETCHED.search(line):
            return (
                f"the module {match[1].removeprefix('go:').strip()} cannot be fetched. Point GOPROXY at a proxy that "
                f"serves it, or bring the module cache (`go env GOMODCACHE`) of a machine that has it\n    {shown}"
            )
    return shown
