"""Every place that states our version: what `make release` writes and `check_versions.py` compares.

Distributions have Python's form (0.2.0.dev0). Charts, images, packages and tags in Git have the form of Semantic
Versioning, and while a version is being worked on they name it already (0.2.0).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.version import Version

Form = Literal["python", "semantic"]
_PYTHON = r"\d[0-9A-Za-z.]*"
_SEMANTIC = r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?"
_YAML = ("charts/**/*.yaml", "compositions/*.yaml", "crossplane/**/*.yaml", "gitops/**/*.yaml")


@dataclass(frozen=True, slots=True)
class Place:
    """Files by patterns, and in them the text before a version, as a regular expression without groups."""

    files: tuple[str, ...]
    before: str
    form: Form = "semantic"

    def expression(self) -> re.Pattern[str]:
        """Return the expression, whose one group is the version."""
        version = _PYTHON if self.form == "python" else _SEMANTIC
        return re.compile(rf"(?:{self.before})({version})", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Stated:
    """A version where it stands: from `start` to `end` of the file's text."""

    path: Path
    line: int
    start: int
    end: int
    version: str
    form: Form


DISTRIBUTIONS = ("python", "sidecar", "crossplane/composer")
PLACES = (
    Place(tuple(f"{each}/pyproject.toml" for each in DISTRIBUTIONS), r'^version = "', "python"),
    Place(tuple(f"{each}/src/*/__init__.py" for each in DISTRIBUTIONS), r'^__version__ = "', "python"),
    Place(("charts/asya*/Chart.yaml",), r"^(?:version|appVersion): \"?"),
    Place(("charts/asya/Chart.yaml",), r"^  - name: asya-[a-z]+\n    version: "),
    Place(_YAML, r"ghcr\.io/asya/[a-z0-9/-]+:v?"),
    Place(_YAML, r"repository: ghcr\.io/asya/[a-z-]+\n +tag: \"?"),
    Place(_YAML, r"package: ghcr\.io/asya/[a-z-]+\n +version: [\"'>=v ]*"),
    Place(("gitops/**/*.yaml",), r"https://github\.com/asya/asya\.git\n +(?:targetRevision: |revision: |ref: {tag: )v"),
    Place(("gitops/**/*.yaml",), r"chart: asya\n +targetRevision: "),
    Place(("gitops/**/*.yaml",), r"oci://ghcr\.io/asya/charts/asya\n(?:.*\n){1,4}? +ref: {tag: "),
    Place(("docs/**/*.md", "charts/*/INTRODUCTION.md", "README.md"), r"oci://ghcr\.io/asya/charts/[a-z-]+ --version "),
)
"""`ghcr.io/asya/…:` in a place where the version follows a `repository` has its own line."""


def written(version: Version, form: Form) -> str:
    """Return a version in a form; what is being worked on is called by the release that it will be."""
    if form == "python":
        return str(version)
    if version.pre is None:
        return version.base_version
    kind, number = version.pre
    return f"{version.base_version}-{kind}.{number}"


def stated(root: Path) -> Iterator[Stated]:
    """Yield every version that is stated anywhere.

    Raises:
        LookupError: A place is nowhere; then the list above is out of date.
    """
    for place in PLACES:
        expression, found = place.expression(), 0
        for path in sorted({path for pattern in place.files for path in root.glob(pattern)}):
            text = path.read_text()
            for match in expression.finditer(text):
                found += 1
                start, end = match.span(1)
                yield Stated(path, text.count("\n", 0, start) + 1, start, end, match[1], place.form)
        if not found:
            raise LookupError(f"no version after {place.before!r} in {', '.join(place.files)}")
