"""Programs that the tests of charts call: of this variable, of `make tools`, or on PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GO_TOOLS = Path(os.environ.get("ASYA_TEST_GO_TOOLS", ROOT / "tools" / "go_tools.py"))


def binary(name: str) -> Path | None:
    """Return where a program is: ASYA_TEST_<NAME>, what `make tools` has built, PATH; None when nowhere."""
    given = os.environ.get(f"ASYA_TEST_{name.upper()}")
    for found in (given, _built(name), shutil.which(name)):
        if found and Path(found).is_file():
            return Path(found)
    return None


def needed(name: str) -> Path:
    """Return where a program is, or skip; with CI=true a missing one is a failure."""
    found = binary(name)
    if found is None:
        why = f"{name} is not here; `make tools` builds it"
        if os.environ.get("CI") == "true":
            pytest.fail(why, pytrace=False)
        pytest.skip(why)
    return found


def _built(name: str) -> str | None:
    if not GO_TOOLS.is_file():
        return None
    asked = subprocess.run([sys.executable, GO_TOOLS, "path", name], capture_output=True, text=True, check=False)
    return asked.stdout.strip() if asked.returncode == 0 else None
