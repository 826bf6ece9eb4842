"""The script that `helm test` runs: it succeeds when every condition holds in time, and says which does not."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.charts.scenarios import CHARTS

SCRIPT = CHARTS / "asya-crossplane" / "files" / "conditions.py"


class FakeApiServer(ThreadingHTTPServer):
    """Objects by path; nothing else of Kubernetes is asked for by the script."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.objects: dict[str, list[dict[str, str]]] = {}
        self.asked: list[tuple[str, str | None]] = []
        # What is not there at first comes with the second question.
        self.later: dict[str, list[dict[str, str]]] = {}


class Answer(BaseHTTPRequestHandler):
    server: FakeApiServer

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Authorization"]))
        conditions = self.server.objects.get(self.path)
        if conditions is None:
            if self.path in self.server.later:
                self.server.objects[self.path] = self.server.later[self.path]
            self.send_error(404)
            return
        body = json.dumps({"status": {"conditions": conditions}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that is overridden
        pass


@pytest.fixture
def fake_api() -> Iterator[FakeApiServer]:
    with FakeApiServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def run(server: FakeApiServer, account: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (account / "token").write_text("of-the-pod")
    environment = os.environ | {
        "KUBERNETES_URL": f"http://127.0.0.1:{server.server_address[1]}",
        "SERVICE_ACCOUNT_DIR": str(account),
    }
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def test_it_waits_for_an_object(fake_api: FakeApiServer, tmp_path: Path) -> None:
    fake_api.objects["/a"] = [{"type": "Ready", "status": "True"}]
    fake_api.later["/b"] = [{"type": "Healthy", "status": "True"}]
    found = run(fake_api, tmp_path, "20", "/a=Ready", "/b=Healthy")
    assert (found.returncode, found.stdout) == (0, "/a: Ready\n/b: Healthy\n"), found.stderr
    assert [path for path, _ in fake_api.asked] == ["/a", "/b", "/b"]
    assert {token for _, token in fake_api.asked} == {"Bearer of-the-pod"}


def test_it_says_what_is_missing(fake_api: FakeApiServer, tmp_path: Path) -> None:
    fake_api.objects["/a"] = [{"type": "Ready", "status": "False", "reason": "Creating", "message": "no queue"}]
    fake_api.objects["/b"] = []
    found = run(fake_api, tmp_path, "0", "/a=Ready", "/b=Healthy", "/c=Ready")
    assert found.returncode == 1
    assert found.stderr.splitlines() == [
        "/a is not Ready: Creating: no queue",
        "/b is not Healthy: there is no condition Healthy yet",
        "/c is not Ready: HTTP Error 404: Not Found",
    ]
