"""What `asya up` says."""

import io
import json

import pytest

from asya.local.console import Console


def record(level: str = "error", msg: str = "broken", logger: str = "asya.link", **fields: object) -> str:
    return json.dumps({"ts": "t", "level": level, "logger": logger, "msg": msg, **fields})


@pytest.mark.parametrize(
    ("line", "level", "ready", "shown"),
    [
        ("plain words", "warning", False, "a/0 plain words\n"),
        ('{"answer": 42}', "warning", True, 'a/0 {"answer": 42}\n'),
        (record(logger="mine", level="info"), "warning", True, f"a/0 {record(logger='mine', level='info')}\n"),
        (record("info"), "warning", True, ""),
        (record("info"), "info", True, "a/0 info: broken\n"),
        (record(envelope="e1"), "warning", True, "a/0 error: broken (envelope=e1)\n"),
        (record(), "warning", False, ""),
        (record(), "debug", False, "a/0 error: broken\n"),
    ],
)
def test_handlers_are_always_heard_and_ours_when_it_matters(line: str, level: str, ready: bool, shown: str) -> None:
    stream = io.StringIO()
    Console(stream, level=level).line("a", 0, "sidecar", line, ready=ready)
    assert stream.getvalue() == shown


def test_the_same_words_again_are_not_said_again() -> None:
    stream = io.StringIO()
    console = Console(stream)
    for _ in range(3):
        console.line("a", 0, "sidecar", record())
        console.line("a", 0, "runtime", "print")
    assert stream.getvalue().count("broken") == 1
    assert stream.getvalue().count("print") == 3


def test_json_is_one_object_a_line() -> None:
    stream = io.StringIO()
    console = Console(stream, as_json=True)
    console.event("scaled", "text\nin two lines", actor="a", replicas=2)
    console.line("a", 1, "runtime", "words")
    console.line("a", 1, "sidecar", record("debug"))
    first, second, third = map(json.loads, stream.getvalue().splitlines())
    assert (first["event"], first["actor"], first["replicas"]) == ("scaled", "a", 2)
    assert (second["event"], second["replica"], second["text"]) == ("log", 1, "words")
    assert third["record"]["msg"] == "broken"


def test_a_very_long_line_is_cut_for_people() -> None:
    stream = io.StringIO()
    Console(stream).line("a", 0, "runtime", "x" * 100_000)
    assert len(stream.getvalue()) < 2100


def test_a_reader_who_went_away_does_not_stop_the_mesh() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    Console(Gone()).event("ready", "words")
