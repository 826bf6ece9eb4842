"""The hash-locked dependencies: `python tools/lock.py` writes them, `--check` tells whether they are in step.

Each lock under ``requirements/`` is made from ``*.in`` files and from the dependencies of our distributions. Its
first line holds a digest of exactly these inputs, so that the check needs no network: it compares the digest, sees that
every pin has hashes, that every direct dependency is met by its pin, and that no address stands in the file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "requirements"
DISTRIBUTIONS = ("python", "sidecar", "crossplane/composer")
OURS = ("asya", "asya-sidecar", "asya-composer")

# Lock -> the .in files it is made from. The widest comes first: the others take its versions.
LOCKS = {
    "test": ("run", "demo", "test"),
    "demo": ("run", "demo"),
    "run": ("run",),
    "bench": ("bench",),
    "go": ("go",),
    # On running clusters.
    "helm-charts": ("helm-charts",),
    "kind": ("kind",),
    # One for each image, and what they are built with.
    "build": ("build",),
    "function": ("function",),
    "sidecar": ("sidecar",),
    "crew": ("crew",),
    "operator": ("operator",),
}
_DIGEST = "# made by `make lock` from inputs "
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")
_ADDRESS = re.compile(r"\w://|^\s*(-e|--(extra-)?index-url|--find-links)\b", re.MULTILINE)


def main() -> int:
    """Write the locks, or check them."""
    parser = argparse.ArgumentParser(description="Write the dependency locks under requirements/.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a lock is out of step")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions instead of keeping the pins")
    arguments = parser.parse_args()
    if not arguments.check:
        for name in LOCKS:
            write(name, upgrade=arguments.upgrade)
        return 0
    problems = [problem for name in LOCKS for problem in check(name)]
    print("\n".join(problems) or f"{len(LOCKS)} locks in step")
    return 1 if problems else 0


def write(name: str, *, upgrade: bool) -> None:
    """Resolve one lock with `uv` and put the digest of its inputs on top."""
    target = FOLDER / f"{name}.txt"
    command = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"]
    command += ["--no-emit-index-url", "--no-header", "--annotation-style", "line", "--output-file", str(target)]
    command += [f"--no-emit-package={package}" for package in OURS]
    command += ["--upgrade"] if upgrade else []
    if name != "test":
        command += ["--constraints", "requirements/test.txt"]
    command += [f"requirements/{part}.in" for part in LOCKS[name]]
    subprocess.run(command, cwd=ROOT, check=True)
    body = "".join(line for line in target.read_text().splitlines(keepends=True) if not line.startswith(_DIGEST))
    target.write_text(f"{_DIGEST}{digest(name)}\n{body}")
    print(f"{target.relative_to(ROOT)}: {len(pins(body))} packages")


def check(name: str) -> list[str]:
    """Return what is wrong with one lock, a sentence each."""
    where = f"requirements/{name}.txt"
    try:
        text = (FOLDER / f"{name}.txt").read_text()
    except FileNotFoundError:
        return [f"{where} is missing; run `make lock`"]
    problems = []
    if not text.startswith(f"{_DIGEST}{digest(name)}\n"):
        problems.append(f"{where} is older than its inputs; run `make lock`")
    if _ADDRESS.search(text):
        problems.append(f"{where} names an address or a path; a lock holds names, versions and hashes only")
    problems += [f"{where}: {pin} has no hash" for pin in _without_hash(text)]
    locked = pins(text)
    for requirement in direct(name):
        found = locked.get(canonicalize_name(requirement.name), set())
        if not found or not all(requirement.specifier.contains(version, prereleases=True) for version in found):
            problems.append(f"{where} has {sorted(found) or 'nothing'} for `{requirement}`; run `make lock`")
    return problems


def pins(text: str) -> dict[str, set[str]]:
    """Return the versions pinned in a lock by package; several where markers split them."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if match := _PIN.match(line):
            found.setdefault(canonicalize_name(match[1]), set()).add(match[2])
    return found


def direct(name: str) -> list[Requirement]:
    """Return the third-party requirements that the inputs of a lock state themselves."""
    found: list[Requirement] = []
    for part in LOCKS[name]:
        for line in (FOLDER / f"{part}.in").read_text().splitlines():
            words = line.partition("#")[0].strip()
            if words.startswith("-e"):
                found += _of_distribution(words)
            elif words:
                found.append(Requirement(words))
    return [requirement for requirement in found if requirement.name not in OURS]


def digest(name: str) -> str:
    """Return the SHA-256 over what a lock is made from: names, versions and extras, not comments or layout."""
    inputs = sorted({str(requirement) for requirement in direct(name)})
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


def _of_distribution(editable: str) -> list[Requirement]:
    match = re.fullmatch(r"-e \./([\w/]+)(?:\[([\w,-]+)\])?", editable)
    if match is None or match[1] not in DISTRIBUTIONS:
        raise SystemExit(f"cannot read `{editable}`; expected `-e ./FOLDER` or `-e ./FOLDER[extra,...]`")
    project = tomllib.loads((ROOT / match[1] / "pyproject.toml").read_text())["project"]
    return _closure(project, match[2].split(",") if match[2] else [])


def _closure(project: dict[str, object], extras: list[str]) -> list[Requirement]:
    """Collect dependencies and those of `extras`, extras that name further extras of ours included."""
    optional = project.get("optional-dependencies", {})
    assert isinstance(optional, dict)
    texts = list(project["dependencies"]) if isinstance(project["dependencies"], list) else []
    todo, seen = list(extras), set[str]()
    while todo:
        extra = todo.pop()
        if extra not in seen:
            seen.add(extra)
            texts += optional[extra]
            nested = [Requirement(text) for text in optional[extra]]
            todo += [
                more for requirement in nested if requirement.name == project["name"] for more in requirement.extras
            ]
    return [Requirement(text) for text in texts]


def _without_hash(text: str) -> list[str]:
    lines = text.splitlines()
    return [
        line.split()[0]
        for line, after in zip(lines, [*lines[1:], ""], strict=True)
        if _PIN.match(line) and not after.lstrip().startswith("--hash=sha256:")
    ]


if __name__ == "__main__":
    sys.exit(main())
