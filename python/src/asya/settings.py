"""How a process reads its settings: once, at start, all problems at once.

A settings class is a frozen dataclass whose fields are made by `setting`. `load` is a pure function of an environment
mapping. The environment itself is read only in `process_environment`.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from asya.errors import AsyaError, SettingsError

T = TypeVar("T")
_KEY = "asya"
REQUIRED = dataclasses.MISSING
MASK = "***"
_SHORTEST_SECRET = 6
_USER_OF_URL = re.compile(r"(://)[^\s'\"]*@")
_PASSWORD_OF_URL = re.compile(r"://[^\s:/@]*:(\S+)@")
_CREDENTIAL = re.compile(
    r"(\bauthorization\W+\w+\s+|\bbearer\s+|(?:password|passwd|secret|token|credentials?|api.?key|access.?key)['\"]?\s*=\s*)"
    r"[^\s,;&]+",
    re.IGNORECASE,
)
_AWS_KEY = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")


@dataclasses.dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: its name, how its text is read, what it means. `secret` values are never shown."""

    name: str
    parse: Callable[[str], Any]
    expected: str
    doc: str
    secret: bool = False


def setting(
    name: str,
    *,
    doc: str,
    parse: Callable[[str], Any] = str,
    expected: str = "text",
    default: Any = REQUIRED,  # noqa: ANN401  a field of any type
    secret: bool = False,
) -> Any:  # noqa: ANN401  stands for a field of any type, as dataclasses.field does
    """Declare a field read from variable `name`; every one may be given as a file instead, by ``<name>_FILE``.

    `parse` raises ValueError or an AsyaError for text it cannot read; `expected` says in a few words what it can.
    """
    variable = Variable(name=name, parse=parse, expected=expected, doc=doc, secret=secret)
    return dataclasses.field(default=default, metadata={_KEY: variable}, kw_only=True)


def variables(cls: type) -> Iterator[tuple[dataclasses.Field[Any], Variable]]:
    """Yield the fields of a settings class that are read from a variable, nested settings classes included."""
    for field in dataclasses.fields(cls):
        if _KEY in field.metadata:
            yield field, field.metadata[_KEY]
        elif (nested := _nested(field)) is not None:
            yield from variables(nested)


def nested(cls: Callable[[], T]) -> T:
    """Declare a field that holds another settings class, read from the same environment."""
    return dataclasses.field(metadata={"nested": cls}, kw_only=True)  # type: ignore[no-any-return]


def load(cls: type[T], environ: Mapping[str, str]) -> T:
    """Read a settings class from `environ`. An empty variable counts as absent.

    Raises:
        SettingsError: With one sentence for every variable that is missing or cannot be read.
    """
    problems: list[str] = []
    settings = _load(cls, environ, problems)
    if problems or settings is None:
        raise SettingsError(problems)
    return settings


def misspelt(cls: type, environ: Mapping[str, str]) -> list[str]:
    """Name variables that look like a misspelt one of ours, as sentences for a warning."""
    known = {variable.name for _, variable in variables(cls)}
    known |= {name + "_FILE" for name in known}
    strangers = [name for name in environ if name.startswith("ASYA_") and name not in known]
    if not strangers:
        return []
    import difflib  # noqa: PLC0415  a process that serves for weeks needs it once, if at all

    found = [(name, difflib.get_close_matches(name, known, n=1, cutoff=0.88)) for name in sorted(strangers)]
    return [f"{name} is not a setting; did you mean {close[0]}?" for name, close in found if close]


def describe(settings: object) -> dict[str, Any]:
    """Return the values for a log line, secrets masked."""
    shown: dict[str, Any] = {}
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]  # any settings instance
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            shown[field.name] = describe(value)
        elif _KEY in field.metadata:
            shown[field.name] = MASK if field.metadata[_KEY].secret and value else value
    return shown


def secrets(cls: type, environ: Mapping[str, str]) -> set[str]:
    """Return the texts of the secret variables of `cls` in `environ`, and the passwords in those that are URLs."""
    found: set[str] = set()
    for _, variable in variables(cls):
        if variable.secret:
            try:
                text = _text(variable, environ)
            except (OSError, UnicodeDecodeError):
                continue
            found |= {text, *_PASSWORD_OF_URL.findall(text)}
    return found


def redact(text: str, known: Iterable[str] = ()) -> str:
    """Return `text` without the secrets `known`, users and passwords in URLs, and what is called a credential in it."""
    text = _USER_OF_URL.sub(rf"\1{MASK}@", text)
    for secret in sorted(known, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, MASK)
    return _AWS_KEY.sub(MASK, _CREDENTIAL.sub(rf"\1{MASK}", text))


def process_environment() -> dict[str, str]:
    """Return a copy of this process's environment: the only place that reads it."""
    return dict(os.environ)  # noqa: TID251  the one reader


def _nested(field: dataclasses.Field[Any]) -> type | None:
    return field.metadata.get("nested")


def _load(cls: type[T], environ: Mapping[str, str], problems: list[str]) -> T | None:
    values: dict[str, Any] = {}
    before = len(problems)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]  # a settings class is a dataclass
        if (inner := _nested(field)) is not None:
            values[field.name] = _load(inner, environ, problems)
        elif _KEY in field.metadata:
            _read(field, field.metadata[_KEY], environ, values, problems)
    return cls(**values) if len(problems) == before else None


def _read(
    field: dataclasses.Field[Any],
    variable: Variable,
    environ: Mapping[str, str],
    values: dict[str, Any],
    problems: list[str],
) -> None:
    try:
        text = _text(variable, environ)
    except OSError as error:
        problems.append(f"{variable.name}_FILE cannot be read: {error.strerror} ({error.filename})")
        return
    if not text:
        if field.default is REQUIRED and field.default_factory is REQUIRED:
            problems.append(f"{variable.name} is not set; expected {variable.expected}")
        return
    try:
        values[field.name] = variable.parse(text)
    except (ValueError, AsyaError) as error:
        shown = "a value that is not shown" if variable.secret else repr(text[:256])
        why = f" ({error})" if isinstance(error, AsyaError) and not variable.secret else ""
        problems.append(f"{variable.name} is {shown}; expected {variable.expected}{why}")


def _text(variable: Variable, environ: Mapping[str, str]) -> str:
    path = environ.get(variable.name + "_FILE")
    if path:
        return Path(path).read_text(encoding="utf-8").strip()
    return environ.get(variable.name, "")


def whole_number(minimum: int, maximum: int | None = None) -> Callable[[str], int]:
    """Return a parser for whole numbers within bounds."""

    def parse(text: str) -> int:
        value = int(text)
        if value < minimum or (maximum is not None and value > maximum):
            raise ValueError(text)
        return value

    return parse


def choice(*allowed: str) -> Callable[[str], str]:
    """Return a parser for one of the `allowed` words."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(text)
        return text

    return parse


def flag(text: str) -> bool:
    """Read true or false (also 1 and 0)."""
    try:
        return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
    except KeyError:
        raise ValueError(text) from None


def comma_list(text: str) -> tuple[str, ...]:
    """Read words separated by commas; blanks around them and empty ones are dropped."""
    return tuple(word.strip() for word in text.split(",") if word.strip())
