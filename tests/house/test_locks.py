"""The lock check finds a lock that is out of step, without a network."""

import shutil
from pathlib import Path

import lock
import pytest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "requirements"
    shutil.copytree(lock.FOLDER, copy)
    monkeypatch.setattr(lock, "FOLDER", copy)
    return copy


def test_the_locks_are_in_step(folder: Path) -> None:
    assert [problem for name in lock.LOCKS for problem in lock.check(name)] == []


def test_a_new_input_is_noticed(folder: Path) -> None:
    (folder / "demo.in").write_text("scikit-image\nscikit-learn\nnumpy>=99\nnetworkx\n")
    found = lock.check("demo")
    assert "older than its inputs" in found[0]
    assert any("`numpy>=99`" in problem for problem in found)
    assert not any("networkx`" in problem for problem in found)


def test_a_comment_is_not_an_input(folder: Path) -> None:
    (folder / "demo.in").write_text("# another remark\n" + (folder / "demo.in").read_text())
    assert lock.check("demo") == []


@pytest.mark.parametrize(
    "line", ["--index-url http:/" + "/packages.example/simple", "-e ./python", "x @ file:/" + "/x"]
)
def test_an_address_is_noticed(folder: Path, line: str) -> None:
    with (folder / "run.txt").open("a") as file:
        file.write(f"{line}\n")
    assert any("names an address" in problem for problem in lock.check("run"))


def test_a_missing_hash_is_noticed(folder: Path) -> None:
    with (folder / "run.txt").open("a") as file:
        file.write("something==1.0\n")
    assert any("something==1.0 has no hash" in problem for problem in lock.check("run"))


def test_a_missing_lock_is_noticed(folder: Path) -> None:
    (folder / "bench.txt").unlink()
    assert lock.check("bench") == ["requirements/bench.txt is missing; run `make lock`"]


def test_extras_of_ours_are_followed() -> None:
    names = {requirement.name for requirement in lock.direct("run")}
    # `local` names `cli`, which names `api`: pydantic is three steps away.
    assert {"msgspec", "pydantic", "click", "starlette", "aio-pika", "uvloop"} <= names
    assert not names & set(lock.OURS)
