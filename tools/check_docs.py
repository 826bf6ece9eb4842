"""Hold the documentation against the repository.

A page fails when a link or anchor leads nowhere, a block marked ``<!-- file: PATH -->`` differs from that file, a
command line in it uses an `asya` command or option or a `make` target that does not exist, or a variable ``ASYA_…``
that no source file knows. Every page under docs/ must be linked from another one. The README has an upper limit of
lines.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
from pages import Block, Page, read

ROOT = Path(__file__).resolve().parent.parent
README_LINES = 200
_VARIABLE = re.compile(r"\bASYA_[A-Z0-9_]*[A-Z0-9]\b")
_TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)
_CODE_WORDS = re.compile(r"`((?:asya|make) [^`]*)`")


def main() -> int:
    """Check every tracked Markdown page."""
    pages = {path: read(path) for path in tracked("*.md")}
    problems = [problem for page in pages.values() for problem in check(page, pages)]
    problems += [f"{page.relative_to(ROOT)}: no other page links to it" for page in orphans(pages)]
    print("\n".join(problems) or f"{len(pages)} pages in order")
    return 1 if problems else 0


def check(page: Page, pages: dict[Path, Page]) -> Iterator[str]:
    """Yield what is wrong with one page, a sentence each."""
    name = page.path.relative_to(ROOT) if page.path.is_relative_to(ROOT) else page.path
    if page.path == ROOT / "README.md" and page.lines > README_LINES:
        yield f"{name}: {page.lines} lines, at most {README_LINES}"
    for line, target in page.links:
        if problem := _link(page, target, pages):
            yield f"{name}:{line}: {problem}"
    for block in page.blocks:
        if block.file and (problem := _from_file(block)):
            yield f"{name}:{block.line}: {problem}"
        for line, command in commands(block):
            if problem := _command(command):
                yield f"{name}:{line}: {problem}"
    for line, text in page.prose:
        for command in _CODE_WORDS.findall(text):
            if problem := _command(command):
                yield f"{name}:{line}: {problem}"
    for variable in sorted(set(_VARIABLE.findall(page.path.read_text())) - _variables()):
        yield f"{name}: {variable} is not read anywhere in the code"


def orphans(pages: dict[Path, Page]) -> list[Path]:
    """Return pages under docs/ that no other page links to."""
    linked = {
        (page.path.parent / target.partition("#")[0]).resolve() for page in pages.values() for _, target in page.links
    }
    return sorted(path for path in pages if path.is_relative_to(ROOT / "docs") and path not in linked)


def tracked(*patterns: str) -> list[Path]:
    """Return files under version control that exist, new ones not yet added included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def _link(page: Page, target: str, pages: dict[Path, Page]) -> str | None:
    if re.match(r"[a-z]+:", target):
        return None  # other sites are not asked
    file, _, anchor = target.partition("#")
    path = (page.path.parent / file).resolve() if file else page.path
    if not path.exists():
        return f"link to {target}: no such file"
    if anchor and path.suffix == ".md" and anchor not in (pages.get(path) or read(path)).anchors:
        return f"link to {target}: no such heading"
    return None


def _from_file(block: Block) -> str | None:
    path = ROOT / str(block.file)
    if not path.is_file():
        return f"block is marked as taken from {block.file}, which does not exist"
    return None if block.text.strip("\n") in path.read_text() else f"block differs from {block.file}"


def commands(block: Block) -> Iterator[tuple[int, str]]:
    """Yield the command lines of a shell block; in a console block only those after a prompt."""
    if block.language not in {"sh", "bash", "console"}:
        return
    text = block.text.replace("\\\n", "  ")
    for offset, line in enumerate(text.splitlines(), start=1):
        if block.language != "console" or line.startswith("$ "):
            yield block.line + offset, line.removeprefix("$ ").strip()


def _command(line: str) -> str | None:
    """Say what does not exist in a command line that begins with `asya` or `make`, assignments before it skipped."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        return f"`{line}`: {error}"
    while words and re.match(r"\w+=", words[0]):
        words.pop(0)
    if words[:1] == ["make"]:
        unknown = [word for word in words[1:] if re.fullmatch(r"[a-z-]+", word) and word not in _targets()]
        return f"`{line}`: the Makefile has no {unknown[0]}" if unknown else None
    return _asya(words[1:], line) if words[:1] == ["asya"] else None


def _asya(words: list[str], line: str) -> str | None:
    from asya.cli.main import main as entry

    command: click.Command = entry
    options = _options(command)
    for word in words:
        if word in {"|", "&", "&&", ";", ">"}:
            break
        if word.startswith("-") and word != "-":
            if word.partition("=")[0] not in options:
                return f"`{line}`: `asya` has no option {word} there"
        elif isinstance(command, click.Group):
            found = command.commands.get(word)
            if found is None:
                return f"`{line}`: there is no command `asya {word}`"
            command, options = found, options | _options(found)
    return None


def _options(command: click.Command) -> set[str]:
    names = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return names | {"--help", "-h"}


@cache
def _targets() -> frozenset[str]:
    return frozenset(_TARGET.findall((ROOT / "Makefile").read_text()))


@cache
def _variables() -> frozenset[str]:
    code = tracked("*.py", "Makefile", ".ci/run")
    known = {name for path in code for name in _VARIABLE.findall(path.read_text())}
    return frozenset(known | {f"{name}_FILE" for name in known})


if __name__ == "__main__":
    sys.exit(main())
