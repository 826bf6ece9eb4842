"""The runtime is one file: it runs in a virtual environment without any of our packages, on every Python from 3.8."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.runtime.fake_sidecar import CANCEL, CHUNK, DRAIN, END, ERROR, FAILED, FLY, RESULT, FakeSidecar

CODE = """
import asyncio, dataclasses, datetime, decimal, os

@dataclasses.dataclass
class Answer:
    when: datetime.datetime
    price: decimal.Decimal
    raw: bytes

def function(payload, context):
    context.route.next = ["x"]
    return Answer(datetime.datetime(2026, 1, 2), decimal.Decimal("1.10"), b"a")

def generator(payload):
    yield "SET", ".route.next[:0]", ["first"]
    yield "FLY", {"id": (yield "GET", ".id")}
    yield payload

async def async_generator(payload):
    yield "SET", ".headers.x", 1
    yield payload
    await asyncio.sleep(0)
    raise KeyError("late")

class Model:
    async def start(self):
        self.lock = asyncio.Lock()
    async def predict(self, payload):
        async with self.lock:
            pass
        if payload == "hang":
            await asyncio.sleep(1000)
        return payload
    def stop(self):
        print("stopped")

def batch(payloads): return [len(payloads)] * len(payloads)

def deadly(payload): os._exit(1)
"""


def find_interpreter(version: str) -> str | None:
    """Return a plain interpreter of this version: on the path, or of pyenv's."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = [shutil.which(f"python{version}"), *map(str, sorted(root.glob(f"versions/{version}.*/bin/python")))]
    for candidate in found:
        if candidate is None:
            continue
        command = [candidate, "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode == 0 and run.stdout.strip() == version:
            return candidate
    return None


@pytest.fixture(scope="module", params=["3.8", "3.9", "3.10", "3.11", "3.12", "3.13"])
def bare_python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of a new, empty virtual environment."""
    interpreter = find_interpreter(request.param)
    if interpreter is None:
        pytest.skip(f"no Python {request.param} here")
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([interpreter, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    listing = (
        "import pkgutil; print([m.name for m in pkgutil.iter_modules() if m.name.startswith(('asya', 'msgspec'))])"
    )
    run = subprocess.run([python, "-c", listing], capture_output=True, text=True, check=True, env={}, cwd=folder)
    assert run.stdout == "[]\n"
    return python


@pytest.fixture
def sidecar(bare_python: str) -> Iterator[FakeSidecar]:
    with tempfile.TemporaryDirectory(prefix="asya-") as folder:
        fake = FakeSidecar(Path(folder), python=bare_python)
        yield fake
        fake.close()
        # nothing but log lines: no warning, no traceback
        for line in fake.stderr.splitlines():
            assert json.loads(line)["logger"] == "asya.runtime"


def test_a_function_with_context_and_typed_result(sidecar: FakeSidecar) -> None:
    frame = sidecar.start(CODE, "handler.function").worker().answers({})[0]
    assert frame.kind == RESULT
    assert (frame.payload, frame.changes) == (
        {"when": "2026-01-02T00:00:00", "price": "1.10", "raw": "YQ=="},
        {"next": ["x"]},
    )
    assert sidecar.done() == 0


def test_a_generator(sidecar: FakeSidecar) -> None:
    fly, chunk, end = sidecar.start(CODE, "handler.generator").worker().answers([1])
    assert [fly.kind, chunk.kind, end.kind] == [FLY, CHUNK, END]
    assert (fly.json, chunk.payload, chunk.changes) == ({"id": "m-1"}, [1], {"next": ["first", "c", "d"]})
    assert sidecar.done() == 0


def test_an_async_generator_and_an_error(sidecar: FakeSidecar) -> None:
    chunk, error = sidecar.start(CODE, "handler.async_generator").worker().answers([1])
    assert [chunk.kind, error.kind] == [CHUNK, ERROR]
    assert (error.json["type"], error.json["mro"]) == ("KeyError", ["LookupError", "Exception"])
    assert "asya_runtime.py" not in error.json["traceback"]
    assert sidecar.done() == 0


def test_a_class_with_hooks_cancel_and_drain(sidecar: FakeSidecar) -> None:
    worker, supervisor = sidecar.start(CODE, "handler.Model.predict").worker(), sidecar.the_supervisor()
    hung = worker.call("hang")
    assert worker.result("x") == "x"
    worker.send(CANCEL, hung)
    assert worker.read().json["type"] == "Canceled"
    os.kill(sidecar.pid, 15)
    assert supervisor.read().kind == DRAIN
    assert worker.result("y") == "y"
    assert sidecar.done() == 0
    assert sidecar.stdout == "stopped\n"


def test_a_batch(sidecar: FakeSidecar) -> None:
    worker = sidecar.start(CODE, "handler.batch", ASYA_BATCH_SIZE="3", ASYA_BATCH_WAIT="1h").worker()
    for n in range(3):
        worker.call(n)
    assert [worker.read().payload for _ in range(3)] == [3, 3, 3]
    assert sidecar.done() == 0


def test_a_crash(sidecar: FakeSidecar) -> None:
    worker = sidecar.start(CODE, "handler.deadly").worker()
    worker.call(1)
    assert sidecar.worker().hello["pid"] != worker.hello["pid"]


def test_a_failed_import(sidecar: FakeSidecar) -> None:
    frame = sidecar.start(CODE, "handler.absent").the_supervisor().read()
    assert frame.kind == FAILED
    assert "has no 'absent'" in frame.json["message"]
