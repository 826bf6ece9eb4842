"""Generated files that are checked in: write those that are out of step or, with ``--check``, only tell which are."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def checking(description: str) -> bool:
    """Read the command line, on which there is only `--check`, and return whether it is there."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a file is out of step")
    return bool(parser.parse_args().check)


def settle(wanted: Mapping[Path, str], *, check: bool, again: str, stale: Iterable[Path] = ()) -> int:
    """Make the files what they should be, or tell what they are not.

    Args:
        wanted: Path and text of every file.
        check: Change nothing.
        again: The make target that writes them, for the message.
        stale: Files beside them that should not be there.

    Returns:
        The exit code: 1 when files are out of step and stay so.
    """
    wrong = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    stale = sorted(stale)
    if check:
        for path in (*wrong, *stale):
            print(f"{_shown(path)} is out of step; run `make {again}`")
        if not wrong and not stale:
            print(f"generated files in order: {len(wanted)}")
        return 1 if wrong or stale else 0
    for path in stale:
        path.unlink()
        print(f"removed {_shown(path)}")
    for path in wrong:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
        print(f"wrote {_shown(path)}")
    return 0


def _shown(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
