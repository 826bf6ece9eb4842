"""Look for what must not stand in a tracked file: a package registry's host, or a path of somebody's machine."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# In halves, so that this file does not name them either.
_HOSTS = (
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("registry.npmjs", "org"),
    ("registry.yarnpkg", "com"),
    ("proxy.golang", "org"),
    ("static.crates", "io"),
    ("index.crates", "io"),
    ("conda.anaconda", "org"),
)
_HOST = re.compile("|".join(rf"\b{re.escape(f'{name}.{top}')}\b" for name, top in _HOSTS))
_HOME = re.compile(r"(?<![\w.~-])/(?:home|Users)/[a-z][\w.-]*/|(?<![\w.~-])/root/\w")
# The licence is not ours to change.
_EXEMPT = {"LICENSE"}


def main() -> int:
    """Check every tracked text file."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    names = [name for name in listed.split("\0") if name and name not in _EXEMPT and (ROOT / name).is_file()]
    problems = [problem for name in names for problem in check(name, (ROOT / name).read_bytes())]
    print("\n".join(problems) or f"{len(names)} tracked files name no registry host and no machine path")
    return 1 if problems else 0


def check(name: str, content: bytes) -> Iterator[str]:
    """Yield what is wrong with one file; files that are not text are passed over."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if found := _HOST.search(line):
            yield f"{name}:{number}: names the package registry {found[0]}"
        if found := _HOME.search(line):
            yield f"{name}:{number}: holds a path of one machine, {found[0]}…"
        if _under_checkout(line):
            yield f"{name}:{number}: holds the path of this checkout"


def _under_checkout(line: str) -> bool:
    return len(ROOT.parts) > 2 and f"{ROOT}/" in line


if __name__ == "__main__":
    sys.exit(main())
