"""A crew module imported anew with the environment of one process, and a driver that answers its GETs."""

from __future__ import annotations

import copy
import importlib
import os
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

MESSAGE: dict[str, Any] = {
    "id": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "parent_id": None,
    "route": {"prev": ["embed", "rank"], "curr": "x-sink", "next": []},
    "headers": {"x-asya-hop": 2, "traceparent": "00-a-b-01"},
    "status": {"phase": "succeeded", "reason": "Completed", "updated_at": "2031-02-03T23:59:59.120Z"},
    "payload": {"text": "grüße", "n": [1, 2.5, None]},
}


@pytest.fixture
def message() -> dict[str, Any]:
    return copy.deepcopy(MESSAGE)


@pytest.fixture
def crew(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """Import `asya.crew.<name>` as a new process with these variables would."""
    for variable in list(os.environ):
        if variable.startswith("ASYA_"):
            monkeypatch.delenv(variable)

    def start(name: str, **environment: str) -> ModuleType:
        for variable, text in environment.items():
            monkeypatch.setenv(variable, text)
        return importlib.reload(importlib.import_module(f"asya.crew.{name}"))

    yield start
    monkeypatch.undo()
    for name in ("sink", "sump"):
        importlib.reload(importlib.import_module(f"asya.crew.{name}"))


def drive(handle: Callable[[Any], Any], message: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Run a generator handler as the runtime does: answer GET, carry out SET, collect results.

    Only the verbs and paths that the yield protocol names are known; anything else fails the test.
    """
    envelope = copy.deepcopy(message)
    results: list[Any] = []
    call = handle(envelope["payload"])
    answer: Any = None
    while True:
        try:
            said = call.send(answer)
        except StopIteration:
            return results, envelope
        answer = None
        match said:
            case ("GET", str(path)):
                answer = copy.deepcopy(_at(envelope, path))
            case ("SET", ".route.next", list(actors)):
                envelope["route"]["next"] = copy.deepcopy(actors)
            case tuple():
                raise AssertionError(f"not a verb of the yield protocol: {said!r}")
            case _:
                results.append(copy.deepcopy(said))


def _at(envelope: dict[str, Any], path: str) -> object:
    readable = {".id", ".parent_id", ".headers", ".status", ".route.prev", ".route.curr", ".route.next"}
    assert path in readable
    value: Any = envelope
    for key in path[1:].split("."):
        value = value[key]
    return value


@pytest.fixture
def driven() -> Callable[..., tuple[list[Any], dict[str, Any]]]:
    return drive
