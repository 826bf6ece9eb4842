"""The state folder: one owner, stale ones reused, sockets short."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from asya.errors import AsyaError
from asya.local.state import StateFolder


def test_a_folder_in_use_is_refused_with_the_owners_pid_and_free_after_release(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "s")
    with pytest.raises(AsyaError, match=f"pid {os.getpid()}"):
        StateFolder(tmp_path / "s")
    folder.release()
    folder.release()
    StateFolder(tmp_path / "s").release()


def test_what_a_killed_run_left_is_taken_over(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from asya.local.state import StateFolder\n"
        "folder = StateFolder(Path(sys.argv[1])); folder.socket_dir('0-0')\n"
        "(folder.path / 'api.json').touch(); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "s")], check=False).returncode == 9
    folder = StateFolder(tmp_path / "s")
    assert not (tmp_path / "s" / "api.json").exists()
    assert list((tmp_path / "s" / "run").iterdir()) == []
    folder.release()


def test_fresh_forgets_messages_and_logs_but_nothing_else(tmp_path: Path) -> None:
    state = tmp_path / "s"
    state.mkdir()
    for name in ("queue.db", "queue.db-wal", "tasks.db", "status.jsonl", "mine.txt"):
        (state / name).write_text("old")
    (state / "queue.db-wake").mkdir()
    (state / "logs").mkdir()
    (state / "logs" / "a-0.log").write_text("old")
    StateFolder(state).release()
    assert (state / "queue.db").read_text() == "old"
    StateFolder(state, fresh=True).release()
    assert sorted(path.name for path in state.iterdir()) == ["lock", "logs", "mine.txt"]
    assert list((state / "logs").iterdir()) == []


@pytest.mark.parametrize("depth", [1, 12])
def test_sockets_fit_however_deep_the_folder_is(tmp_path: Path, depth: int) -> None:
    state = tmp_path.joinpath(*["a-long-name"] * depth)
    folder = StateFolder(state)
    sockets = folder.socket_dir("123-456")
    assert len(os.fsencode(sockets / "asya.sock")) < 104
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    folder.release()
    assert not sockets.exists()
    assert not sockets.parent.exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AsyaError, match="give another --state"):
        StateFolder(tmp_path / "file" / "s")
