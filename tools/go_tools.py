"""Build and find the programs that this repository is tested with, from their Go modules: `make tools`.

Versions are pinned in `tools/versions.toml`. Standard library only, because it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from go_tools_build import Cache, build, cache
from go_tools_go import Progress, ToolError, toolchain
from go_tools_plan import Plan, PlanError, Tool, read_plan

VERSIONS = Path(__file__).with_name("versions.toml")
DEFAULT = ("api", "render")
HEARTBEAT_SECONDS = 30.0


class Display:
    """Progress of one tool on standard error: one line, rewritten, on a terminal; a line now and then in a log."""

    def __init__(self, label: str) -> None:
        self._label, self._began, self._told = label, time.monotonic(), 0.0
        self._terminal = sys.stderr.isatty()

    def report(self, progress: Progress) -> None:
        """Show how far it is."""
        now = time.monotonic()
        if not self._terminal and self._told and now - self._told < HEARTBEAT_SECONDS:
            return
        self._told = now
        # What was compiled earlier is not compiled again and not counted, so the share is a lower bound.
        count = f" {progress.done} of at most {progress.of} packages" if progress.of else ""
        self._write(f"{self._label}  {progress.doing}{count}, {now - self._began:.0f} s", last=not self._terminal)

    def close(self, outcome: str) -> None:
        """Show how it ended."""
        self._write(f"{self._label}  {outcome} ({time.monotonic() - self._began:.0f} s)", last=True)

    def _write(self, text: str, *, last: bool) -> None:
        if self._terminal:
            text = "\r\x1b[K" + text[: shutil.get_terminal_size().columns - 1]
        print(text, end="\n" if last else "", file=sys.stderr, flush=True)


def build_all(tools: list[Tool], where: Cache, jobs: int | None) -> int:
    """Build tools one after the other; one that fails does not keep the rest from being built. Return the exit code."""
    missing = [tool for tool in tools if not where.place(tool).exists()]
    go = toolchain(jobs) if missing else None
    failed = []
    for number, tool in enumerate(missing, 1):
        assert go is not None
        display = Display(f"[{number}/{len(missing)}] {tool.name} {tool.version}")
        try:
            build(tool, go, where, display.report)
        except ToolError as error:
            display.close("failed")
            print(f"{tool.name}: {error}", file=sys.stderr)
            failed.append(tool.name)
        else:
            display.close("built")
    if failed:
        print(f"not built: {', '.join(failed)}; what was built is kept", file=sys.stderr)
        return 1
    print(f"{len(tools)} tools in {where.root}", file=sys.stderr)
    return 0


def show_path(plan: Plan, where: Cache, name: str) -> int:
    """Print where a tool is."""
    tool = plan.tools.get(name)
    if tool is None:
        raise PlanError(f"no tool is named {name!r}; there are: {', '.join(plan.tools)}")
    if not (place := where.place(tool)).exists():
        print(f"{name} {tool.version} is not built; `make tools TOOLS={name}` builds it", file=sys.stderr)
        return 1
    print(place)
    return 0


def show_source(plan: Plan, name: str) -> int:
    """Print the folder of a module's source: charts and CRDs of a component lie there."""
    module = plan.modules.get(name)
    if module is None:
        raise PlanError(f"no module is named {name!r}; there are: {', '.join(plan.modules)}")
    with tempfile.TemporaryDirectory() as folder:
        print(toolchain().fetch(module, Path(folder))["Dir"])
    return 0


def show_list(plan: Plan, where: Cache) -> int:
    """Print every tool with its group, version and place."""
    for tool in plan.tools.values():
        place = where.place(tool)
        print(f"{tool.group:8} {tool.name:24} {tool.version:9} {place if place.exists() else '-'}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("build", help=f"build tools; without names the groups {' and '.join(DEFAULT)}")
    making.add_argument("names", nargs="*", metavar="TOOL|GROUP", default=list(DEFAULT))
    making.add_argument("-p", "--jobs", type=int, help="compilers that run at once (default: one for each core)")
    commands.add_parser("path", help="print where a tool is; exit 1 when it is not built").add_argument("name")
    commands.add_parser("source", help="print the folder of a module's source, fetched").add_argument("name")
    commands.add_parser("list", help="print all tools and where they are")
    return parser


def main() -> int:
    """Run one command."""
    options = _parser().parse_args()
    where = cache(os.environ)
    try:
        plan = read_plan(VERSIONS.read_text())
        match options.command:
            case "build":
                return build_all(plan.choose(options.names), where, options.jobs)
            case "path":
                return show_path(plan, where, options.name)
            case "source":
                return show_source(plan, options.name)
            case _:
                return show_list(plan, where)
    except (PlanError, ToolError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; what was built is kept", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
