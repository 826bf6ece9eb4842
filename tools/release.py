"""Set one version everywhere, and give the changelog its heading: ``make release VERSION=0.2.0``.

``0.2.0`` and ``0.2.0rc1`` release what stands under *Unreleased*; ``0.3.0.dev0`` begins the work on the next one.
Committing and tagging are left to the person.
"""

from __future__ import annotations

import argparse
import datetime as dt
import re
import sys
import tomllib
from pathlib import Path

from packaging.version import InvalidVersion, Version
from version_places import stated, written

ROOT = Path(__file__).resolve().parent.parent
_UNRELEASED = "## [Unreleased]"
_SECTION = re.compile(r"^## \[Unreleased\]\n(.*?)(?=^## \[|\Z)", re.MULTILINE | re.DOTALL)


class ReleaseError(Exception):
    """This version cannot be set."""


def main(arguments: list[str]) -> int:
    """Set the version, or say why not; then nothing is changed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("version", help="0.2.0, 0.2.0rc1 or 0.3.0.dev0")
    parser.add_argument("--date", type=dt.date.fromisoformat, help="in the changelog (default: today, UTC)")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    date = given.date or dt.datetime.now(dt.UTC).date()
    try:
        edited = edits(given.root, parsed(given.version), date)
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    for path, text in edited.items():
        path.write_text(text)
        print(path.relative_to(given.root))
    return 0


def parsed(text: str) -> Version:
    """Return the version that is meant.

    Raises:
        ReleaseError: It has another form than the three.
    """
    try:
        version = Version(text)
    except InvalidVersion as error:
        raise ReleaseError(f"{text!r} is no version; write it as 0.2.0, 0.2.0rc1 or 0.3.0.dev0") from error
    plain = len(version.release) == 3 and version.post is None and version.local is None and not version.epoch
    if not plain or str(version) != text or (version.is_devrelease and version.pre is not None):
        raise ReleaseError(f"{text!r}: write it as 0.2.0, 0.2.0rc1 or 0.3.0.dev0")
    return version


def edits(root: Path, version: Version, date: dt.date) -> dict[Path, str]:
    """Return the new text of every file that changes.

    Raises:
        ReleaseError: It is not above the version that is there, or the changelog is not ready for it.
    """
    now = Version(tomllib.loads((root / "python/pyproject.toml").read_text())["project"]["version"])
    if version <= now:
        raise ReleaseError(f"{version} is not above {now}")
    places: dict[Path, dict[tuple[int, int], str]] = {}
    for each in stated(root):
        places.setdefault(each.path, {})[each.start, each.end] = written(version, each.form)
    found = {path: _replaced(path.read_text(), spans) for path, spans in places.items()}
    changelog = root / "CHANGELOG.md"
    found[changelog] = _changelog(changelog.read_text(), version, date)
    return {path: text for path, text in found.items() if text != path.read_text()}


def _replaced(text: str, spans: dict[tuple[int, int], str]) -> str:
    for (start, end), new in sorted(spans.items(), reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _changelog(text: str, version: Version, date: dt.date) -> str:
    section = _SECTION.search(text)
    if version.is_devrelease:
        if section:
            return text
        at = text.index("## [")
        return f"{text[:at]}{_UNRELEASED}\n\n{text[at:]}"
    if f"## [{version}]" in text:
        raise ReleaseError(f"CHANGELOG.md has a section [{version}] already")
    if not section or not section[1].strip():
        raise ReleaseError(f"CHANGELOG.md has nothing under {_UNRELEASED}: say what changed")
    return text.replace(_UNRELEASED, f"{_UNRELEASED}\n\n## [{version}] - {date.isoformat()}", 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
