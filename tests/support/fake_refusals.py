"""An HTTP server in front of moto that lets calls through, counts them, or answers in AWS's place.

moto never throttles, never expires credentials, and fails no single entry of a batch; AWS does. `answers` says what
comes of an operation: a function of the request's JSON that returns an answer, or None to let it through.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self


class Answer(NamedTuple):
    """What the client gets."""

    status: int
    body: Mapping[str, Any]


def refusal(code: str, message: str = "", status: int = 400) -> Answer:
    """An error as AWS's JSON protocol says it."""
    return Answer(status, {"__type": f"com.amazonaws.sqs#{code}", "message": message})


Answering = Callable[[Mapping[str, Any]], Answer | None]


class FakeRefusals:
    """`calls` counts operations by name, whether let through or not; `busy` is how many receive calls are open."""

    def __init__(self, port: int) -> None:
        self.calls: Counter[str] = Counter()
        self.answers: dict[str, Answering] = {}
        self.most_polls = self.polls = 0
        self._behind = port
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, on the same port as before."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                outer._handle(self)

            def log_message(self, *args: object) -> None:  # type: ignore[override]
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a client that is gone

        self._server = Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections; open ones get no answer any more."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def refuse(self, operation: str, answer: Answer, times: int | None = None) -> None:
        """Answer `operation` so, the next `times` it is called or until `allow`."""
        left = [times]

        def answering(_: Mapping[str, Any]) -> Answer | None:
            if left[0] is None:
                return answer
            left[0] -= 1
            return answer if left[0] >= 0 else None

        self.answers[operation] = answering

    def allow(self) -> None:
        """Let everything through again."""
        self.answers.clear()

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        poll = operation == "ReceiveMessage"
        with self._lock:
            self.calls[operation] += 1
            self.polls += poll
            self.most_polls = max(self.most_polls, self.polls)
        try:
            answering = self.answers.get(operation) or self.answers.get("*")
            answer = answering(json.loads(body)) if answering is not None else None
            status, content = (answer.status, json.dumps(answer.body).encode()) if answer else self._pass(request, body)
        finally:
            with self._lock:
                self.polls -= poll
        if self._server is None:
            request.close_connection = True
            return
        request.send_response(status)
        request.send_header("Content-Type", "application/x-amz-json-1.0")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def _pass(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._behind, timeout=60)
        try:
            connection.request("POST", request.path, body, dict(request.headers.items()))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()
