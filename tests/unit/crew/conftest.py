"""A crew module imported anew with the environment of one process, and a call as the runtime makes it."""

from __future__ import annotations

import asyncio
import copy
import importlib
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

import asya_runtime

Handler = Callable[[Any, Any], Awaitable[Any]]
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


def drive(handle: Handler, message: dict[str, Any]) -> tuple[Any, list[str]]:
    """Call a handler with the runtime's own context; return its result and what `route.next` is afterwards."""
    meta = {name: value for name, value in message.items() if name != "payload"}
    context = asya_runtime.Context(asya_runtime.Message(json.dumps(meta).encode(), None), lambda _: None)
    result = asyncio.run(handle(copy.deepcopy(message["payload"]), context))
    return result, context.route.next


@pytest.fixture
def driven() -> Callable[..., tuple[Any, list[str]]]:
    return drive
