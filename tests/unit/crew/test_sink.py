import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from asya.errors import SettingsError

Start = Callable[..., ModuleType]
Document = dict[str, Any]
Drive = Callable[..., tuple[Any, list[str]]]


DOCUMENT = "succeeded/2031-02-03/0f8fad5b-d9cb-469f-a165-70867728950e.json"


def test_without_settings_a_message_ends_without_a_result(crew: Start, driven: Drive, message: Document) -> None:
    result, following = driven(crew("sink").handle, message)
    assert result is None
    assert following == []


def test_first_visit_keeps_the_whole_message_where_its_outcome_says(
    crew: Start,
    driven: Drive,
    message: Document,
    tmp_path: Path,
) -> None:
    sink = crew("sink", ASYA_CHECKPOINT_URL=tmp_path.as_uri())
    assert driven(sink.handle, message)[0] is None
    assert json.loads((tmp_path / DOCUMENT).read_text(encoding="utf-8")) == message
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [Path(DOCUMENT).name]


@pytest.mark.parametrize("phase", ["succeeded", "failed", "canceled", "paused"])
def test_each_outcome_has_a_folder(
    crew: Start,
    driven: Drive,
    message: Document,
    tmp_path: Path,
    phase: str,
) -> None:
    message["status"]["phase"] = phase
    driven(crew("sink", ASYA_CHECKPOINT_URL=tmp_path.as_uri()).handle, message)
    assert [path.name for path in tmp_path.iterdir()] == [phase]


@pytest.mark.parametrize("status", [{"phase": "pending"}, {}, None, {"phase": ["failed"]}])
def test_a_message_without_an_outcome_is_a_plain_checkpoint(
    crew: Start,
    driven: Drive,
    message: Document,
    tmp_path: Path,
    status: object,
) -> None:
    message["status"] = status
    driven(crew("sink", ASYA_CHECKPOINT_URL=tmp_path.as_uri()).handle, message)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_hooks_are_visited_once_and_lead_back(
    crew: Start,
    driven: Drive,
    message: Document,
    tmp_path: Path,
) -> None:
    sink = crew("sink", ASYA_SINK_HOOKS="audit, bill", ASYA_CHECKPOINT_URL=tmp_path.as_uri())
    result, following = driven(sink.handle, message)
    assert result == message["payload"]
    assert following == ["audit", "bill", "x-sink"]
    (tmp_path / DOCUMENT).unlink()

    message["route"] = {"prev": ["embed", "rank", "x-sink", "audit", "bill"], "curr": "x-sink", "next": []}
    result, following = driven(sink.handle, message)
    assert result is None
    assert following == []
    assert not (tmp_path / DOCUMENT).exists(), "the second visit keeps nothing again"


def test_the_sink_may_have_another_name(crew: Start, driven: Drive, message: Document) -> None:
    sink = crew("sink", ASYA_SINK_HOOKS="audit", ASYA_ACTOR_SINK="end")
    assert driven(sink.handle, message)[1] == ["audit", "end"]
    message["route"]["prev"].append("end")
    assert driven(sink.handle, message)[0] is None


def test_a_checkpoint_that_cannot_be_written_is_an_error_before_any_hook(
    crew: Start,
    driven: Drive,
    message: Document,
    tmp_path: Path,
) -> None:
    (tmp_path / "succeeded").write_text("a file where the folder should be")
    sink = crew("sink", ASYA_CHECKPOINT_URL=tmp_path.as_uri(), ASYA_SINK_HOOKS="audit")
    with pytest.raises(OSError, match="succeeded"):
        driven(sink.handle, message)


def test_all_wrong_settings_are_told_at_once(crew: Start) -> None:
    with pytest.raises(SettingsError) as caught:
        crew("sink", ASYA_CHECKPOINT_URL="ftp://host/x", ASYA_SINK_HOOKS="Audit,b", ASYA_ACTOR_SUMP="x sump")
    assert len(caught.value.problems) == 3
    assert "ASYA_CHECKPOINT_URL is 'ftp://host/x'; expected file:///absolute/folder or s3://bucket/prefix" in str(
        caught.value
    )


def test_a_terminal_actor_is_no_hook(crew: Start) -> None:
    with pytest.raises(SettingsError, match="ASYA_SINK_HOOKS names x-sump; a terminal actor cannot be a hook"):
        crew("sink", ASYA_SINK_HOOKS="audit,x-sump")


def test_a_misspelt_variable_is_warned_about(crew: Start, caplog: pytest.LogCaptureFixture) -> None:
    crew("sink", ASYA_CHECKPOINTS_URL="file:///tmp")
    assert "ASYA_CHECKPOINTS_URL is not a setting; did you mean ASYA_CHECKPOINT_URL?" in caplog.text
