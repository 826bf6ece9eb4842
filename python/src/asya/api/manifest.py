"""Manifests from files and folders, with all problems of all files at once."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from asya.api.actor import AsyncActor, Source
from asya.api.fields import API_VERSION, GROUP, KIND
from asya.api.problems import Finding, Problem, findings, path_text, show
from asya.api.rules import broken_rules
from asya.api.yamltree import Document, Mistake, read_documents
from asya.errors import ManifestError

SUFFIXES = (".yaml", ".yml", ".json")
MAX_BYTES = 4 * 1024 * 1024
"""Largest file that is read; manifests are a thousand times smaller."""
_NEAR = 0.8


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
    _refuse_duplicates(manifests)
    if not manifests.actors and not manifests.problems:
        where = ", ".join(str(path) for path in given) or "nothing given"
        manifests.problems.append(Problem(file=where, line=1, path="", message=f"no {KIND} in it", expected=KIND))
    return manifests


def parse_manifests(text: str, *, file: str = "-", is_json: bool = False) -> Manifests:
    """Read manifests from text; `file` names it in problems."""
    manifests = Manifests(files=1)
    _read_text(text, Path(file), manifests, is_json=is_json)
    _refuse_duplicates(manifests)
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


def _read_object(value: Any, document: Document, at: tuple[str | int, ...], file: Path, manifests: Manifests) -> None:  # noqa: ANN401
    """Read one object of a document; a `List` (as kubectl writes it) holds several."""
    line = document.line_of(at)
    if isinstance(value, dict) and value.get("kind") == "List" and isinstance(value.get("items"), list):
        for index, item in enumerate(value["items"]):
            _read_object(item, document, (*at, "items", index), file, manifests)
        return
    stranger = _stranger(value)
    if isinstance(stranger, str):
        manifests.notes.append(f"{file}:{line}: left out, {stranger}")
        return
    found = [stranger] if stranger else _check(value)
    mistakes = [mistake for mistake in document.mistakes if mistake.path[: len(at)] == at]
    manifests.problems += [_mistake(mistake, file) for mistake in mistakes]
    problems = [
        Problem(
            file=str(file),
            line=document.line_of((*at, *finding.path)),
            path=path_text((*at, *finding.path)),
            message=finding.message,
            expected=finding.expected,
            found=finding.found,
        )
        for finding in found
    ]
    manifests.problems += sorted(problems, key=lambda problem: problem.line)
    if not problems and not mistakes:
        actor = AsyncActor.model_validate(value, by_name=False, by_alias=True)
        actor._source = Source(file, line)  # noqa: SLF001  ours, and set only here
        manifests.actors.append(actor)
        manifests.notes += [f"{file}:{line}: {note}" for note in _remarks(actor)]


def _check(value: dict[str, Any]) -> list[Finding]:
    found: list[Finding] = []
    try:
        AsyncActor.model_validate(value, by_name=False, by_alias=True)
    except ValidationError as error:
        found = findings(error, value)
    wrong = {finding.path for finding in found}
    for path, sentence in broken_rules(value):
        place = _path(path, value)
        if place not in wrong:
            found.append(Finding(place, sentence))
    return found


def _path(text: str, value: Any) -> tuple[str | int, ...]:  # noqa: ANN401  any JSON value
    """Read a rule's path back into parts; names with dots in them are found by what `value` holds."""
    parts: list[str | int] = []
    while text:
        if text.startswith("["):
            index, _, text = text[1:].partition("]")
            parts.append(int(index))
        else:
            names = value if isinstance(value, dict) else {}
            plain = text.split(".")[0].split("[")[0]
            name = max(
                (key for key in names if text == key or text.startswith((key + ".", key + "["))), key=len, default=plain
            )
            parts.append(name)
            text = text[len(name) :]
        last = parts[-1]
        try:
            value = value[last]
        except (KeyError, IndexError, TypeError):
            value = None
        text = text.removeprefix(".")
    return tuple(parts)


def _stranger(value: Any) -> Finding | str | None:  # noqa: ANN401  any JSON value
    """Return None for ours, words for an object of another kind, a finding for one that was meant to be ours."""
    if not isinstance(value, dict):
        return Finding(
            (),
            f"expected a mapping with apiVersion, kind, metadata and spec, found {show(value)}",
            "a mapping",
            show(value),
        )
    version, kind = value.get("apiVersion"), value.get("kind")
    if version == API_VERSION and kind == KIND:
        return None
    kind_near = isinstance(kind, str) and _near(kind, KIND)
    version_near = isinstance(version, str) and (version.startswith(GROUP + "/") or _near(version, API_VERSION))
    if kind == KIND:
        return Finding(("apiVersion",), f"expected {API_VERSION}, found {show(version)}", API_VERSION, show(version))
    if version == API_VERSION or kind_near or version_near:
        return Finding(("kind",), f"expected {KIND}, found {show(kind)}", KIND, show(kind))
    if version is None and kind is None and "handler" in (value.get("spec") or {}):
        return Finding(("apiVersion",), f"missing; expected {API_VERSION}, and kind: {KIND}", API_VERSION, "nothing")
    return f"kind {kind} of {version}" if kind and version else "no Kubernetes object"


def _near(text: str, wanted: str) -> bool:
    return difflib.SequenceMatcher(a=text.lower(), b=wanted.lower()).ratio() >= _NEAR


def _mistake(mistake: Mistake, file: Path) -> Problem:
    return Problem(file=str(file), line=mistake.line, path=path_text(mistake.path), message=mistake.message)


def _remarks(actor: AsyncActor) -> Iterator[str]:
    spec = actor.spec
    if "replicas" in spec.model_fields_set and spec.scaling.enabled:
        yield "spec.replicas counts only while spec.scaling.enabled is false"
    grace, timeout = spec.termination_grace_period_seconds, actor.resiliency().actor_timeout
    if grace is not None and grace < timeout:
        short = f"spec.terminationGracePeriodSeconds is {grace} s, shorter than actorTimeout"
        yield f"{short}: long calls are cut and repeated"


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
