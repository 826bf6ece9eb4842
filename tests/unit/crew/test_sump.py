import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Start = Callable[..., ModuleType]
Document = dict[str, Any]
Drive = Callable[..., tuple[Any, list[str]]]


def test_sump_says_the_whole_message_on_one_line_and_routes_nowhere(
    crew: Start,
    driven: Drive,
    message: Document,
    capsys: pytest.CaptureFixture[str],
) -> None:
    message["payload"] = {"text": "line\u2028break\nand\ud800"}
    result, following = driven(crew("sump").handle, message)
    assert result is None
    assert following == []
    out = capsys.readouterr().out
    assert out.endswith("\n")
    assert len(out.splitlines()) == 1
    assert json.loads(out) == {"event": "message-in-sump", "envelope": message}


def test_sump_keeps_the_message_in_a_folder_of_its_own(
    crew: Start,
    driven: Drive,
    message: Document,
    tmp_path: Path,
) -> None:
    message["status"]["phase"] = "failed"
    driven(crew("sump", ASYA_CHECKPOINT_URL=tmp_path.as_uri()).handle, message)
    (document,) = tmp_path.rglob("*.json")
    assert document.relative_to(tmp_path).as_posix() == f"sump/2031-02-03/{message['id']}.json"
    assert json.loads(document.read_text(encoding="utf-8")) == message


def test_what_cannot_be_kept_has_been_said_and_is_an_error(
    crew: Start,
    driven: Drive,
    message: Document,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "sump").write_text("a file where the folder should be")
    sump = crew("sump", ASYA_CHECKPOINT_URL=tmp_path.as_uri())
    with pytest.raises(OSError, match="sump"):
        driven(sump.handle, message)
    assert json.loads(capsys.readouterr().out)["envelope"]["id"] == message["id"]
