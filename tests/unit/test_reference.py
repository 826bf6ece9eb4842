"""The reference pages are what the code says, and a page that is not is found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from asya.wire import encode, new_envelope, raw

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "reference"


def check(folder: Path) -> tuple[int, str]:
    """Run `tools/reference.py --check` over a folder of pages."""
    command = [sys.executable, str(ROOT / "tools" / "reference.py"), "--check", "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PAGES, tmp_path / "reference"))


def test_pages_are_in_step_with_the_code() -> None:
    code, output = check(PAGES)
    assert code == 0, output


@pytest.mark.parametrize(
    "name", ["asyncactor.md", "asyncactor.schema.json", "settings.md", "errors.md", "envelope.schema.json"]
)
def test_a_page_that_was_changed_by_hand_is_found(copy: Path, name: str) -> None:
    (copy / name).write_text((copy / name).read_text() + "\n")
    code, output = check(copy)
    assert (code, output) == (1, f"{copy / name} is out of step; run `make docs`\n")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("`deadline_at`", "deadline_at", "does not name `deadline_at`"),
        ("`x-asya-hop`", "`x-asya-hops`", "does not name `x-asya-hop`"),
        ("`RouteMismatch`", "`Mismatch`", "does not name `RouteMismatch`"),
        ('"curr": "load"', '"current": "load"', "no envelope"),
        ('"attempt": 1', '"attempt": 0', "no envelope"),
        ('"x-asya-hop": 1', '"x-asya-hop": 1,', "no envelope"),
    ],
)
def test_a_word_or_an_example_that_is_wrong_is_found(copy: Path, old: str, new: str, problem: str) -> None:
    page = copy / "envelope.md"
    text = page.read_text()
    assert old in text
    page.write_text(text.replace(old, new))
    code, output = check(copy)
    assert code == 1
    assert problem in output


def test_an_envelope_of_ours_follows_the_published_schema() -> None:
    schema = json.loads((PAGES / "envelope.schema.json").read_text())
    made = new_envelope(
        ["a", "b"], raw({"x": 1}), now=1_770_000_000.25, headers={"x-asya-hop": raw(3)}, deadline_at=1_770_000_060.0
    )
    jsonschema.validate(json.loads(encode(made)), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"id": "", "route": {"curr": "a"}}, schema)
