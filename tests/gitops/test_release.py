"""`make release` on a copy of the repository: every version moves, a drift is told, what is wrong changes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from check_docs import tracked
from check_versions import main as check
from packaging.version import Version
from release import main as release
from version_places import PLACES, stated, written

ROOT = Path(__file__).resolve().parents[2]
DATE = ["--date", "2026-12-01"]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What states a version, and the changelog, at version 0.1.0.dev0."""
    for path in {each.path for each in stated(ROOT)}:
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A thing.\n")
    for path in [*tmp_path.rglob("pyproject.toml"), *tmp_path.rglob("__init__.py")]:
        current = next(each.version for each in stated(ROOT) if each.form == "python")
        path.write_text(path.read_text().replace(f'"{current}"', '"0.1.0.dev0"'))
    for each in stated(tmp_path):
        if each.form == "semantic" and each.version != "0.1.0":
            each.path.write_text(each.path.read_text().replace(each.version, "0.1.0"))
    assert check(tmp_path) == 0
    return tmp_path


def _versions(root: Path) -> set[tuple[str, str]]:
    return {(each.form, each.version) for each in stated(root)}


@pytest.mark.parametrize(
    ("version", "semantic"), [("0.1.0", "0.1.0"), ("0.2.0", "0.2.0"), ("0.2.0rc1", "0.2.0-rc.1"), ("1.0.0", "1.0.0")]
)
def test_every_version_moves(copy: Path, version: str, semantic: str) -> None:
    assert release([version, *DATE, "--root", str(copy)]) == 0
    assert _versions(copy) == {("python", version), ("semantic", semantic)}
    changelog = (copy / "CHANGELOG.md").read_text()
    assert f"## [Unreleased]\n\n## [{version}] - 2026-12-01\n\n### Added\n\n- A thing.\n" in changelog
    assert check(copy) == 0


def test_then_the_next_one_begins(copy: Path) -> None:
    release(["0.1.0", *DATE, "--root", str(copy)])
    assert release(["0.2.0.dev0", "--root", str(copy)]) == 0
    assert _versions(copy) == {("python", "0.2.0.dev0"), ("semantic", "0.2.0")}
    assert check(copy) == 0


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("0.1.0.dev0", "not above"),
        ("0.0.9", "not above"),
        ("v0.2.0", "write it as"),
        ("0.2", "write it as"),
        ("0.2.0-rc.1", "write it as"),
        ("0.2.0.post1", "write it as"),
        ("next", "is no version"),
    ],
)
def test_what_is_wrong_changes_nothing(copy: Path, version: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_text() for path in copy.rglob("*") if path.is_file()}
    assert release([version, *DATE, "--root", str(copy)]) == 1
    assert why in capsys.readouterr().err
    assert {path: path.read_text() for path in copy.rglob("*") if path.is_file()} == before


def test_a_release_says_what_changed(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n## [0.0.1] - 2026-01-01\n\n- Old.\n")
    assert release(["0.1.0", *DATE, "--root", str(copy)]) == 1
    assert "say what changed" in capsys.readouterr().err


@pytest.mark.parametrize("number", range(len(PLACES)))
def test_a_drift_is_told(copy: Path, number: int, capsys: pytest.CaptureFixture[str]) -> None:
    place = PLACES[number]
    path, match = next(
        (path, match)
        for pattern in place.files
        for path in sorted(copy.glob(pattern))
        if (match := place.expression().search(path.read_text()))
    )
    text = path.read_text()
    path.write_text(text[: match.start(1)] + "0.0.7" + text[match.end(1) :])
    assert check(copy) == 1
    assert "0.0.7" in capsys.readouterr().out


def test_a_place_that_is_gone_is_told(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in copy.glob("charts/asya*/Chart.yaml"):
        path.unlink()
    assert check(copy) == 1
    assert "no version after" in capsys.readouterr().out


def test_no_image_of_ours_escapes() -> None:
    """What names an image of ours with a version does so in a place that is listed."""
    current = written(Version(next(each.version for each in stated(ROOT) if each.form == "python")), "semantic")
    known = {(each.path, each.line) for each in stated(ROOT)}
    escaped = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in tracked("*.yaml", "*.yml")
        if path.parts[len(ROOT.parts)] not in {"tests", "examples"}
        for line, text in enumerate(path.read_text().splitlines(), start=1)
        if current in text and (path, line) not in known
    ]
    assert escaped == []
