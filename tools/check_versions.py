"""See that distributions, charts, images, packages, pages and the changelog agree on the version."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from packaging.version import Version
from version_places import stated, written

ROOT = Path(__file__).resolve().parent.parent
_HEADING = re.compile(r"^## \[([^\]]+)\]", re.MULTILINE)


def main(root: Path = ROOT) -> int:
    """Compare all of them with the distribution `asya`."""
    version = Version(tomllib.loads((root / "python/pyproject.toml").read_text())["project"]["version"])
    found = problems(root, version)
    print("\n".join(found) or f"version {version} everywhere")
    return 1 if found else 0


def problems(root: Path, version: Version) -> list[str]:
    """Return a line for each place that says another version."""
    found = []
    try:
        for each in stated(root):
            expected = written(version, each.form)
            if each.version != expected:
                name = each.path.relative_to(root)
                found.append(f"{name}:{each.line}: says {each.version}; expected {expected}, as python/pyproject.toml")
    except LookupError as error:
        found.append(str(error))
    return found + _changelog(root, version)


def _changelog(root: Path, version: Version) -> list[str]:
    headings = _HEADING.findall((root / "CHANGELOG.md").read_text())
    expected = "Unreleased" if version.is_devrelease else str(version)
    if expected in headings[:2]:
        return []
    return [f"CHANGELOG.md: version {version} needs a section [{expected}] at the top; it has {headings[:2]}"]


if __name__ == "__main__":
    sys.exit(main())
