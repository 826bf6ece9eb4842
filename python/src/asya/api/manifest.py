"""Manifests from files and folders, with all problems of all files at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asya.api.actor import AsyncActor, Source
from asya.api.check import check, remarks, stranger
from asya.api.fields import KIND
from asya.api.paths import Path as FieldPath
from asya.api.paths import path_text
from asya.api.problems import Finding, Problem
from asya.api.yamltree import Document, Mistake, read_documents
from asya.errors import ManifestError

SUFFIXES = (".yaml", ".yml", ".json")
MAX_BYTES = 4 * 1024 * 1024
"""Largest file that is read; manifests are a thousand times smaller."""


@dataclass(slots=True)
class Manifests:
    """What was read: good actors, everything that is wrong, and remarks that stop nobody."""

    actors: list[AsyncActor] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: int = 0


def load_manifests(paths: Iterable[Path | str]) -> list[AsyncActor]:
    """Read all `AsyncActor`s in files and folders (with what is under them), in the order of `paths` and of file names.

    Raises:
        ManifestError: Anything is wrong anywhere, or there is no actor; it lists all problems.
    """
    manifests = read_manifests(paths)
    if manifests.problems:
        raise ManifestError([str(problem) for problem in manifests.problems])
    return manifests.actors


def read_manifests(paths: Iterable[Path | str]) -> Manifests:
    """Read as `load_manifests` does, without raising; objects of other kinds are noted and left out."""
    manifests = Manifests()
    given = [Path(path) for path in paths]
    for path in given:
        for file in _files(path):
            _read_file(file, manifests)
    return _finish(manifests, ", ".join(str(path) for path in given) or "nothing given", line=0)


def parse_manifests(text: str, *, file: str = "-", is_json: bool = False) -> Manifests:
    """Read manifests from text; `file` names it in problems."""
    manifests = Manifests(files=1)
    _read_text(text, Path(file), manifests, is_json=is_json)
    return _finish(manifests, file, line=1)


def _finish(manifests: Manifests, where: str, *, line: int) -> Manifests:
    _refuse_duplicates(manifests)
    if not manifests.files:
        message = f"no file there ends in {', '.join(SUFFIXES)}, so no {KIND}"
        manifests.problems.append(Problem(file=where, line=0, path="", message=message, expected=KIND))
    elif not manifests.actors and not manifests.problems:
        manifests.problems.append(Problem(file=where, line=line, path="", message=f"no {KIND} in it", expected=KIND))
    return manifests


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.endswith(SUFFIXES) and not name.startswith("."):
                yield Path(folder, name)


def _read_file(file: Path, manifests: Manifests) -> None:
    manifests.files += 1
    try:
        if file.stat().st_size > MAX_BYTES:
            manifests.notes.append(f"{file}: left out, larger than {MAX_BYTES // 1024 // 1024} MiB")
            return
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        manifests.problems.append(Problem(file=str(file), line=1, path="", message=message))
        return
    except UnicodeDecodeError as error:
        message = f"not UTF-8 (byte {error.start})"
        manifests.problems.append(Problem(file=str(file), line=1, path="", message=message))
        return
    _read_text(text, file, manifests, is_json=file.suffix == ".json")


def _read_text(text: str, file: Path, manifests: Manifests, *, is_json: bool) -> None:
    for document in read_documents(text, is_json=is_json):
        if isinstance(document, Mistake):
            manifests.problems.append(_mistake(document, file))
        else:
            _read_object(document.value, document, (), file, manifests)


def _read_object(value: Any, document: Document, at: FieldPath, file: Path, manifests: Manifests) -> None:  # noqa: ANN401
    """Read one object of a document; a `List` (as kubectl writes it) holds several."""
    line = document.line_of(at)
    if isinstance(value, dict) and value.get("kind") == "List" and isinstance(value.get("items"), list):
        for index, item in enumerate(value["items"]):
            _read_object(item, document, (*at, "items", index), file, manifests)
        return
    other = stranger(value)
    mistakes = [mistake for mistake in document.mistakes if mistake.path[: len(at)] == at]
    if isinstance(other, str):
        # A document that could not be read may have been ours; what is wrong inside a stranger is not our business.
        manifests.problems += [_mistake(mistake, file) for mistake in mistakes] if value is None else []
        manifests.notes.append(f"{file}:{line}: left out, {other}")
        return
    actor, found = check(value) if other is None else (None, [other])
    unreadable = {mistake.path for mistake in mistakes}
    problems = [_problem(finding, document, at, file) for finding in found if (*at, *finding.path) not in unreadable]
    problems += [_mistake(mistake, file) for mistake in mistakes]
    manifests.problems += sorted(problems, key=lambda problem: problem.line)
    if actor is not None and not problems:
        actor._source = Source(file, line)  # noqa: SLF001  ours, and set only here
        manifests.actors.append(actor)
        manifests.notes += [f"{file}:{line}: {note}" for note in remarks(actor)]


def _problem(finding: Finding, document: Document, at: FieldPath, file: Path) -> Problem:
    path = (*at, *finding.path)
    return Problem(
        file=str(file),
        line=document.line_of(path),
        path=path_text(path),
        message=finding.message,
        expected=finding.expected,
        found=finding.found,
    )


def _mistake(mistake: Mistake, file: Path) -> Problem:
    return Problem(file=str(file), line=mistake.line, path=path_text(mistake.path), message=mistake.message)


def _refuse_duplicates(manifests: Manifests) -> None:
    first: dict[tuple[str | None, str], AsyncActor] = {}
    for actor in manifests.actors:
        key = (actor.metadata.namespace, actor.name)
        if key in first:
            there = first[key].source
            where = f" of namespace {key[0]}" if key[0] else ""
            message = f"actor {actor.name!r}{where} is given twice; first at {there.file}:{there.line}"
            place = "spec.actor" if actor.spec.actor else "metadata.name"
            source = actor.source
            manifests.problems.append(Problem(file=str(source.file), line=source.line, path=place, message=message))
        first.setdefault(key, actor)
