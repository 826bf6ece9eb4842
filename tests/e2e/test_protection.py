"""The example of the guide about slow and rate-limited services, against such a service on loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.support.up import run, up

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "guides"
COUNT = 30


class Service(ThreadingHTTPServer):
    """Answers questions, or 503 while it is down; remembers when it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Question)
        self.down = True
        self.lock = threading.Lock()
        self.asked: list[tuple[float, bool]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class Question(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        with self.server.lock:
            down = self.server.down
            self.server.asked.append((time.monotonic(), down))
        self.send_response(503 if down else 200)
        self.end_headers()
        self.wfile.write(b"" if down else b'{"ok": true}')

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@contextmanager
def service() -> Iterator[Service]:
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_service_that_is_down_costs_few_attempts_and_everything_succeeds_afterwards(tmp_path: Path) -> None:
    with service() as server, up(EXAMPLE, tmp_path / "state", "--actor", "lookup") as mesh:
        ids = [mesh.send("lookup", {"url": server.url, "n": number}) for number in range(COUNT)]
        reason = mesh.until(lambda: mesh.actors()["lookup"]["reason"], "an open circuit")
        assert reason.startswith("circuit of the actor is ")
        assert "HTTP Error 503" in reason
        shown = run("ps", "--state", str(mesh.state)).stdout
        assert "circuit of the actor is " in shown
        assert mesh.actors()["lookup"]["ready"] >= 1, "an open circuit is no reason to start another pod"
        mesh.until(lambda: len(server.asked) >= 5, "two probes")
        failed_before = len(server.asked)
        server.down = False
        ended = [mesh.ended(each, 60.0) for each in ids]
        assert {task["status"] for task in ended} == {"succeeded"}, mesh.said()
        attempts = [task["result"]["attempt"] for task in ended]
        failed = sum(down for _, down in server.asked)
        assert failed == sum(attempt - 1 for attempt in attempts), "each failed attempt was a question that was asked"
        assert failed <= failed_before + 2, "and there were few: what opened the circuits of two replicas, and probes"
        answered = [moment for moment, down in server.asked if not down]
        assert len(answered) == COUNT
        for first, moment in enumerate(answered):
            within = sum(moment <= other < moment + 1.0 for other in answered[first:])
            assert within <= 10 + 5 + 5, "no more in any second than the rate and the burst, and what came late"
        mesh.until(lambda: mesh.actors()["lookup"]["reason"] == "" or None, "a closed circuit")
