"""See that the distributions, their modules and the changelog agree on the version."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DISTRIBUTIONS = {
    "python": "src/asya/__init__.py",
    "sidecar": "src/asya_sidecar/__init__.py",
    "crossplane/composer": "src/asya_composer/__init__.py",
}
_HEADING = re.compile(r"^## \[([^\]]+)\]", re.MULTILINE)
_MODULE = re.compile(r"^__version__ = \"([^\"]+)\"", re.MULTILINE)


def main() -> int:
    """Compare all of them."""
    found: dict[str, str] = {}
    for folder, module in DISTRIBUTIONS.items():
        metadata = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
        found[f"{folder}/pyproject.toml"] = metadata["version"]
        if stated := _MODULE.search((ROOT / folder / module).read_text()):
            found[f"{folder}/{module}"] = stated[1]
    problems = _changelog(found["python/pyproject.toml"])
    if len(set(found.values())) > 1:
        problems.append("versions differ: " + ", ".join(f"{place} says {version}" for place, version in found.items()))
    print("\n".join(problems) or f"version {found['python/pyproject.toml']} everywhere")
    return 1 if problems else 0


def _changelog(version: str) -> list[str]:
    headings = _HEADING.findall((ROOT / "CHANGELOG.md").read_text())
    expected = "Unreleased" if ".dev" in version else version
    if expected in headings[:2]:
        return []
    return [f"CHANGELOG.md: version {version} needs a section [{expected}] at the top; it has {headings[:2]}"]


if __name__ == "__main__":
    sys.exit(main())
