"""The real Prometheus and its promtool (Debian: the package `prometheus`)."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.host import free_port

_START_SECONDS, _STOP_SECONDS = 30.0, 15.0


def tool(name: str) -> str:
    """Where `prometheus` or `promtool` is; without it the test is skipped, in CI it fails."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is not installed; CI installs the package prometheus")
        pytest.skip(f"{name} is not installed (Debian: apt-get install prometheus)")
    return found


def promtool(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run promtool to its end; who asks looks at the exit code."""
    command = [tool("promtool"), *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)


class Prometheus:
    """A running server."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=10.0)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Answer an instant query; its error fails the test."""
        answer = self.http.get("/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def get(self, path: str) -> dict[str, Any]:
        """Return the data of another call."""
        answer = self.http.get(path).json()
        assert answer["status"] == "success", answer
        data: dict[str, Any] = answer["data"]
        return data


@contextmanager
def running(config: Path, folder: Path) -> Iterator[Prometheus]:
    """Run a server with a configuration, its data in `folder`; ready when given, gone afterwards."""
    address = f"127.0.0.1:{free_port()}"
    log = folder / "prometheus.log"
    command = [
        *(tool("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"),
        f"--web.listen-address={address}",
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
    server = Prometheus(f"http://{address}")
    try:
        end = time.monotonic() + _START_SECONDS
        while not _ready(server):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield server
    finally:
        server.http.close()
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(server: Prometheus) -> bool:
    try:
        return server.http.get("/-/ready").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
