"""What a rule across fields is, and careful access to a manifest that may hold anything.

A rule looks at the manifest as it was written and steps over whatever has a wrong type (the models tell that), so that
a broken rule is told together with all other problems. A path is that of the field to change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from asya.api.paths import Path, path_text
from asya.errors import PolicyError
from asya.policy import parse_duration

CREW_LABEL = "asya.sh/crew"

Broken = Iterator[tuple[Path, str]]
Check = Callable[[Mapping[str, Any]], Broken]


@dataclass(frozen=True, slots=True)
class CrossRule:
    """One rule: what it asks in a sentence, and the check that yields (path, what is wrong).

    `whole`: It also looks at what is absent. So it is asked of whole actors only: where flavors are named that may
    bring what is missing, it waits until they are merged in.
    """

    doc: str
    check: Check
    whole: bool = False

    def broken(self, document: Mapping[str, Any]) -> list[tuple[Path, str]]:
        """Return (path, what is wrong) of all that breaks the rule."""
        waits = self.whole and bool(at(document, "spec").get("flavors"))
        return [] if waits else list(self.check(document))


class Noted(Protocol):
    """A decorator of checks."""

    def __call__(self, doc: str, *, whole: bool = False) -> Callable[[Check], Check]:
        """Note the check under the sentence `doc`."""


def collect(rules: list[CrossRule]) -> Noted:
    """Return a decorator that notes a check, with its sentence, in `rules`."""

    def rule(doc: str, *, whole: bool = False) -> Callable[[Check], Check]:
        def note(check: Check) -> Check:
            rules.append(CrossRule(doc, check, whole))
            return check

        return note

    return rule


def mapping(value: object) -> Mapping[str, Any]:
    """Return `value` if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def at(document: Mapping[str, Any], *path: str | int) -> Mapping[str, Any]:
    """Return the mapping at `path`, an empty one where there is none."""
    return mapping(_value(document, path))


def entries(document: Mapping[str, Any], *path: str | int) -> list[tuple[Path, Any]]:
    """Return (path, entry) of each entry of the list at `path`, none where there is no list."""
    value = _value(document, path)
    return [((*path, index), entry) for index, entry in enumerate(value)] if isinstance(value, list) else []


def field_of_each(document: Mapping[str, Any], path: Path, field: str) -> list[tuple[Path, str]]:
    """Return (path, text) of `field` in each entry of the list at `path`; other types are left out."""
    found = [((*place, field), mapping(entry).get(field)) for place, entry in entries(document, *path)]
    return [(place, value) for place, value in found if isinstance(value, str)]


def number(parent: Mapping[str, Any], name: str, default: int) -> int | None:
    """Return the whole number `name`, `default` when absent, None when it is something else."""
    value = parent.get(name, default)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def seconds(value: object) -> float | None:
    """Return a duration in seconds, None for what is no duration."""
    try:
        return parse_duration(value) if isinstance(value, str) else None
    except PolicyError:
        return None


def twice(values: list[tuple[Path, str]], what: str) -> Broken:
    """Yield every value that was there before."""
    first: dict[str, Path] = {}
    for path, value in values:
        if value in first:
            yield path, f"{what} {value!r} is given twice; first at {path_text(first[value])}"
        first.setdefault(value, path)


def is_crew(document: Mapping[str, Any]) -> bool:
    """Tell whether the manifest is one of the platform's own actors."""
    return at(document, "metadata", "labels").get(CREW_LABEL) == "true"


def _value(value: Any, path: Path) -> Any:  # noqa: ANN401  any JSON value
    for part in path:
        try:
            value = value[part]
        except (LookupError, TypeError):
            return None
    return value
