"""Stock handlers against a real HTTP server, also in the oldest Python that people's images may have."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from asya.operator import stock

CHAT = {"id": "1", "choices": [{"message": {"role": "assistant", "content": "hello"}}]}
MODEL = {"name": "m", "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]}
OLDEST = "3.8"


class Server(ThreadingHTTPServer):
    """Answers by path, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.answers: dict[str, tuple[int, str, bytes]] = {}
        self.asked: list[tuple[str, str, Any]] = []

    def set(self, path: str, body: Any, status: int = 200, kind: str = "application/json") -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers[path] = (status, kind, content)

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Answers(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: Any) -> None:
        self.server.asked.append((self.command, self.path, body))
        status, kind, content = self.server.answers.get(self.path, (404, "text/plain", b"no such path"))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if status == 307:
            self.send_header("Location", "http://192.0.2.1/")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nobody else can take, on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.02,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def endpoint(server: Server, protocol: str, path: str, **more: Any) -> stock.Endpoint:
    return stock.Endpoint(server.port, protocol, path, timeout=10.0, **more)


@pytest.mark.parametrize(
    ("kind", "content", "result"),
    [
        ("application/json", b'{"b": [1]}', {"b": [1]}),
        ("text/plain; charset=utf-8", "grüß".encode(), "grüß"),
        ("application/json", b"", None),
    ],
)
def test_json_posts_the_payload(server: Server, kind: str, content: bytes, result: Any) -> None:
    server.set("/p", content, kind=kind)
    called = endpoint(server, "json", "/p")
    assert called.call(called, {"a": 1}) == result
    assert server.asked == [("POST", "/p", {"a": 1})]


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (307, stock.RefusedError),
        (400, stock.RefusedError),
        (404, stock.RefusedError),
        (408, stock.UnavailableError),
        (429, stock.UnavailableError),
        (500, stock.UnavailableError),
        (503, stock.UnavailableError),
    ],
)
def test_statuses_tell_whether_a_retry_helps(server: Server, status: int, problem: type[Exception]) -> None:
    server.set("/p", {"error": "because"}, status)
    with pytest.raises(problem, match=f"POST /p: {status} .*because"):
        stock.call_json(endpoint(server, "json", "/p"), {})
    assert getattr(problem, "retryable", None) is (False if problem is stock.RefusedError else None)


def test_what_is_not_json_is_refused(server: Server) -> None:
    server.set("/p", b"<html>")
    with pytest.raises(stock.RefusedError, match="not JSON"):
        stock.call_json(endpoint(server, "json", "/p"), {})


def test_nobody_there_is_unavailable(closed_port: int) -> None:
    with pytest.raises(stock.UnavailableError):
        stock.call_json(stock.Endpoint(closed_port, "json"), {})


def test_no_proxy_is_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server.set("/p", 1)
    assert stock.call_json(endpoint(server, "json", "/p"), {}) == 1


def test_a_text_is_a_message_to_the_only_model(server: Server) -> None:
    server.set("/v1/models", {"data": [{"id": "tiny"}]})
    server.set(stock.CHAT, CHAT)
    called = endpoint(server, "openai", "/")
    assert stock.call_openai(called, "hi") == CHAT
    assert stock.call_openai(called, "hi") == CHAT
    request = {"messages": [{"role": "user", "content": "hi"}], "model": "tiny"}
    assert server.asked == [("GET", "/v1/models", None)] + [("POST", stock.CHAT, request)] * 2


def test_a_request_goes_as_it_is_to_the_given_path(server: Server) -> None:
    server.set("/v1/embeddings", {"data": []})
    request = {"model": "e", "input": ["a"]}
    assert stock.call_openai(endpoint(server, "openai", "/v1/embeddings"), request) == {"data": []}
    assert server.asked == [("POST", "/v1/embeddings", request)]


@pytest.mark.parametrize(
    ("payload", "says"),
    [([1], "expected an object or a text"), ({"stream": True}, "stream"), ({}, "2 are served: a, b")],
)
def test_what_openai_does_not_take_is_refused(server: Server, payload: Any, says: str) -> None:
    server.set("/v1/models", {"data": [{"id": "a"}, {"id": "b"}]})
    with pytest.raises(stock.RefusedError, match=says):
        stock.call_openai(endpoint(server, "openai", "/"), payload)


def test_tensors_by_name_have_the_models_types(server: Server) -> None:
    server.set("/v2/models/m", MODEL)
    answer = {"outputs": [{"name": "y", "datatype": "FP32", "shape": [2, 1, 2], "data": [1, 2, 3, 4]}]}
    server.set("/v2/models/m/infer", answer)
    payload = {"x": [[1, 2.5], [3, 4]], "word": "one"}
    result = stock.call_kserve(endpoint(server, "kserve-v2", "/v2/models/m/infer"), payload)
    assert result == {"y": [[[1, 2]], [[3, 4]]]}
    assert server.asked[-1][2] == {
        "inputs": [
            {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2.5, 3, 4]},
            {"name": "word", "shape": [1], "datatype": "BYTES", "data": ["one"]},
        ]
    }


def test_a_whole_inference_request_and_its_answer_are_left_alone(server: Server) -> None:
    server.set("/infer", {"outputs": [], "id": "7"})
    request = {"id": "7", "inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}
    assert stock.call_kserve(endpoint(server, "kserve-v2", "/infer"), request) == {"outputs": [], "id": "7"}
    assert server.asked == [("POST", "/infer", request)]


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ([1], "expected an object of tensors"),
        ({}, "expected an object of tensors"),
        ({"x": [[1], [2, 3]]}, "ragged"),
        ({"x": [[1], 2]}, "ragged"),
        ({"x": [1, [2]]}, "ragged"),
        ({"x": [1, "a"]}, "int, str"),
        ({"x": []}, "nothing"),
        ({"x": [None]}, "NoneType"),
        ({"x": [1]}, "no `outputs`"),
    ],
)
def test_what_kserve_does_not_take_is_refused(server: Server, payload: Any, says: str) -> None:
    server.set("/v2/p", {"error": "?"})
    with pytest.raises(stock.RefusedError, match=says):
        stock.call_kserve(endpoint(server, "kserve-v2", "/v2/p"), payload)


@pytest.mark.parametrize(("status", "up"), [(200, True), (302, True), (404, False), (503, False)])
def test_health_path_decides(server: Server, status: int, up: bool) -> None:
    server.set("/health", {}, status)
    assert endpoint(server, "json", "/", health_path="/health").is_up() is up


def test_an_open_port_is_enough(server: Server, closed_port: int) -> None:
    assert endpoint(server, "json", "/").is_up()
    assert not stock.Endpoint(closed_port, "json").is_up()


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(ValueError, match="'grpc'; expected one of json, kserve-v2, openai"):
        stock.Endpoint(1, "grpc")


def test_the_oldest_python_runs_it(server: Server, tmp_path: Path) -> None:
    python = next(iter(sorted((Path.home() / ".pyenv/versions").glob(f"{OLDEST}.*/bin/python"))), None)
    executable = str(python) if python else shutil.which(f"python{OLDEST}")
    if executable is None:
        pytest.skip(f"needs Python {OLDEST}")
    server.set("/p", {"ok": True})
    shutil.copy(Path(stock.__file__), tmp_path / "stock.py")
    code = "import asyncio, stock; print(asyncio.run(stock.Workload().handle({'a': 1})))"
    call = {"port": server.port, "protocol": "json", "path": "/p", "health_path": None, "timeout": 10}
    environment = {"ASYA_WORKLOAD": json.dumps(call), "PYTHONPATH": str(tmp_path)}
    command = [executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("{'ok': True}\n", "")
