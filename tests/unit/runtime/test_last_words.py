"""What a runtime leaves for its pod's status, and what it does not: where a handler cannot be loaded, and no secret."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.runtime.fake_sidecar import FAILED, RUNTIME, FakeSidecar

from asya_runtime import TERMINATION_BYTES, leave_last_words, redact

URL = "amqp://shop:pa@ss/w0rd@broker:5672/v"
KEY = "Zq81xN7mPw2Lr5Tb"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The file that a kubelet makes for each container."""
    found = tmp_path / "termination-log"
    found.touch()
    return found


def test_an_import_error_ends_a_pods_container_with_its_sentence(sidecar: FakeSidecar, place: Path) -> None:
    supervisor = sidecar.start("import absent_library", ASYA_TERMINATION_LOG=str(place)).the_supervisor()
    frame = supervisor.read()
    assert frame.kind == FAILED
    assert sidecar.wait() == 1
    sentence = "cannot import handler 'handler.process': ModuleNotFoundError: No module named 'absent_library'"
    assert place.read_text() == frame.json["message"] == sentence
    assert "Traceback" not in place.read_text()


def test_without_a_pod_it_is_tried_on_and_no_file_is_made(sidecar: FakeSidecar, tmp_path: Path) -> None:
    place = tmp_path / "termination-log"
    supervisor = sidecar.start("1 / 0", ASYA_TERMINATION_LOG=str(place)).the_supervisor()
    for _ in range(4):
        assert supervisor.read().kind == FAILED
    assert sidecar.process is not None
    assert sidecar.process.poll() is None
    assert not place.exists()


def test_a_good_start_takes_the_sentence_back(sidecar: FakeSidecar, place: Path) -> None:
    code = "import os, pathlib\nmark = pathlib.Path('mark')\nif not mark.exists(): mark.touch(); 1 / 0\n"
    sidecar.start(code + "def process(payload): return payload", ASYA_TERMINATION_LOG=str(place))
    assert sidecar.worker().result(1) == 1
    assert sidecar.the_supervisor().read().kind == FAILED
    assert sidecar.done() == 0
    assert place.read_text() == ""


def test_a_worker_that_serves_keeps_the_container(sidecar: FakeSidecar, place: Path) -> None:
    code = """
import os
try: os.close(os.open("first", os.O_CREAT | os.O_EXCL))
except FileExistsError: raise RuntimeError("second")
def process(payload): return payload
"""
    sidecar.start(code, ASYA_RUNTIME_WORKERS="2", ASYA_TERMINATION_LOG=str(place))
    worker = sidecar.worker()
    supervisor = sidecar.the_supervisor()
    for _ in range(4):
        assert supervisor.read().kind == FAILED
    assert worker.result("still") == "still"
    assert "RuntimeError: second" in place.read_text()


def test_wrong_settings_are_left_there_too(place: Path) -> None:
    environ = {"ASYA_TERMINATION_LOG": str(place), "ASYA_HANDLER": "nodots", "ASYA_BATCH_SIZE": "none"}
    done = subprocess.run([sys.executable, str(RUNTIME)], env=environ, capture_output=True, timeout=30, check=False)
    assert done.returncode == 2
    assert [line.split()[0] for line in place.read_text().splitlines()] == ["ASYA_HANDLER", "ASYA_BATCH_SIZE"]


def test_no_secret_is_left(sidecar: FakeSidecar, place: Path) -> None:
    code = """
import os
e = os.environ
raise ValueError(" ".join([e["STORE"], "https://u:p4ss@h/x", e["DB_PASSWORD"], e["OPENAI"], e["PLAIN"], "pa@ss/w0rd"]))
"""
    environ = {"STORE": URL, "DB_PASSWORD": "correct horse", "OPENAI": KEY, "PLAIN": "models/v1"}
    sidecar.start(code, ASYA_TERMINATION_LOG=str(place), **environ)
    assert sidecar.wait() == 1
    said = place.read_text()
    assert said.endswith("ValueError: amqp://***@broker:5672/v https://***@h/x *** *** models/v1 ***")


@pytest.mark.parametrize(
    ("text", "environ", "shown"),
    [
        ("No module named 'torch'", {"API_KEY": ""}, "No module named 'torch'"),
        ("at https://h/a and b", {}, "at https://h/a and b"),
        ("short ab is kept", {"TOKEN": "ab"}, "short ab is kept"),
        ("line two: second-line", {"PRIVATE_KEY": "first-line\nsecond-line"}, "line two: ***"),
        ("handler.process", {"ASYA_HANDLER": "handler.process"}, "handler.process"),
    ],
)
def test_what_is_redacted(text: str, environ: dict[str, str], shown: str) -> None:
    assert redact(text, environ) == shown


def test_what_is_too_long_for_a_status_is_cut_between_characters(place: Path) -> None:
    assert leave_last_words(str(place), "ü" * 3000)
    assert place.read_text() == "ü" * (TERMINATION_BYTES // 2)
    assert leave_last_words(str(place), "x" + "ü" * 3000)
    assert place.read_bytes().decode() == "x" + "ü" * (TERMINATION_BYTES // 2 - 1)
