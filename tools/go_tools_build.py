"""Building one tool: its modules fetched and checked, a wrapper around them, `go build`, the file put in its place."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from go_tools_go import Go, Progress, Report, ToolError
from go_tools_plan import PlanError, Tool, key, read_mains
from go_tools_wrapper import sums, wrapper

MAINS = Path(__file__).with_name("go_tools_mains")


@dataclass(frozen=True)
class Cache:
    """Where tools lie: a folder for each tool, version and key, with the program in it and nothing else."""

    root: Path

    def place(self, tool: Tool) -> Path:
        """Return where the tool's program is or will be."""
        digest = key(tool, read_mains(tool, MAINS), _platform())
        return self.root / f"{tool.name}-{tool.version}-{digest}" / tool.binary

    @contextmanager
    def locked(self, tool: Tool, report: Report) -> Iterator[None]:
        """Hold the tool's lock, which the operating system releases when the process ends, however it ends."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / f".{tool.name}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                report(Progress("waiting for another process that builds it"))
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def cache(environ: Mapping[str, str]) -> Cache:
    """Return the cache: `ASYA_TOOLS_CACHE`, else `asya/tools` in the user's cache folder."""
    if chosen := environ.get("ASYA_TOOLS_CACHE"):
        return Cache(Path(chosen))
    return Cache(Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asya" / "tools")


def build(tool: Tool, go: Go, where: Cache, report: Report) -> Path:
    """Return the tool's program, built if it is not there. Another process that builds the same is waited for.

    Raises:
        ToolError: A module cannot be fetched or does not compile.
    """
    place = where.place(tool)
    if place.exists():
        return place
    with where.locked(tool, report):
        if place.exists():
            return place
        for left in where.root.glob(f".building-{tool.name}.*"):  # by a build that was killed
            shutil.rmtree(left, ignore_errors=True)
        # Its compiler may have outlived it and still write: never into the folder of the next.
        folder = where.root / f".building-{tool.name}.{os.getpid()}"
        folder.mkdir()
        wrap(tool, go, folder / "wrapper", report)
        made = folder / "made"
        made.mkdir()
        go.build(tool, folder / "wrapper", made / tool.binary, report)
        shutil.rmtree(place.parent, ignore_errors=True)
        made.rename(place.parent)  # a folder that is there is complete
        shutil.rmtree(folder)
    return place


def wrap(tool: Tool, go: Go, folder: Path, report: Report) -> None:
    """Write the module that wraps a tool.

    Raises:
        ToolError: A module of the tool cannot be fetched, or asks for what cannot be resolved.
    """
    folder.mkdir()
    found = []
    for module in tool.modules:
        report(Progress(f"fetching {module.path}"))
        found.append(go.fetch(module, folder))
    upstream = [json.loads(go.run(folder, "mod", "edit", "-json", entry["GoMod"])) for entry in found]
    try:
        (folder / "go.mod").write_text(wrapper(tool, upstream))
    except PlanError as error:
        raise ToolError(str(error)) from None
    locked = [file.read_text() for entry in found if (file := Path(entry["Dir"]) / "go.sum").exists()]
    (folder / "go.sum").write_text(sums(tool, [(entry["Sum"], entry["GoModSum"]) for entry in found], locked))
    if text := read_mains(tool, MAINS):
        (folder / "main.go").write_text(text)


def _platform() -> str:
    """Return the operating system and processor that programs are built for."""
    return f"{os.environ.get('GOOS') or os.uname().sysname}/{os.environ.get('GOARCH') or os.uname().machine}".lower()
