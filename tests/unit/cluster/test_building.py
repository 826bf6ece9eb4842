import os
from pathlib import Path

import pytest
from tests.cluster import building


def test_a_few_builds_of_each_name_are_kept(tmp_path: Path) -> None:
    for age, name in enumerate(["one-e", "one-d", "one-c", "one-b", "one-a", "other-x"]):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    building._drop_older(tmp_path / "one-a", "one")
    assert {path.name for path in tmp_path.iterdir()} == {"one-a", "one-e", "one-d", "other-x"}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(building, "ROOT", tmp_path)
    for name in (
        "python/src/a.py",
        "python/tests/test_a.py",
        "python/src/__pycache__/a.pyc",
        "tools/images.py",
        "docs/x",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    return tmp_path


def test_what_a_build_may_hold(repository: Path) -> None:
    found = building.sources(["python", "tools/images.py"])
    assert [str(path.relative_to(repository)) for path in found] == ["python/src/a.py", "tools/images.py"]


@pytest.mark.parametrize(
    ("name", "same"), [("python/src/a.py", False), ("docs/x", True), ("python/tests/test_a.py", True)]
)
def test_only_what_a_build_holds_makes_another_one(repository: Path, name: str, same: bool) -> None:
    before = building._key("base", ["python", "tools/images.py"])
    (repository / name).write_text("2")
    assert (building._key("base", ["python", "tools/images.py"]) == before) is same


def test_another_base_makes_another_build(repository: Path) -> None:
    assert building._key("one", ["python"]) != building._key("other", ["python"])
