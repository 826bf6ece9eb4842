"""Handlers of the examples, imported the way the runtime does: the actor's folder first, then the example's."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"
SHARED = ("handler", "pictures", "dataset")


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Import `handler.py` of an actor such as ``photos/load``."""

    def load(actor: str) -> ModuleType:
        folder = EXAMPLES / actor
        assert folder.is_dir()
        monkeypatch.syspath_prepend(str(folder.parent))
        monkeypatch.syspath_prepend(str(folder))
        for name in SHARED:
            sys.modules.pop(name, None)
        return importlib.import_module("handler")

    yield load
    for name in SHARED:
        sys.modules.pop(name, None)
