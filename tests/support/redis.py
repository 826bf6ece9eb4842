"""A private Redis for tests: Debian's real server on a free loopback port, everything on disk at once; dies with us.

`Server` is a context manager. `stop`, `kill` and `start` on the same data make restarts.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.host import Started, dies_with_parent, free_port, install

READY_SECONDS = 30.0
GIVEN = "ASYA_TEST_REDIS_URL"


def ensure_installed(environ: Mapping[str, str]) -> None:
    """Have Debian's redis-server, installing it when allowed.

    Raises:
        NotInstalledError: It is not there and may or could not be installed.
    """
    if shutil.which("redis-server") is None:
        install("redis-server", environ, f"name a server by {GIVEN}")


@dataclass
class Server(Started):
    """One server. `options` are more lines of its configuration, as words of the command line."""

    options: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="asya-redis-")))
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address, for ASYA_REDIS_URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Its process's id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it on the data it had, and wait until it answers."""
        given = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            "repl-diskless-sync-delay": "0",
            "unixsocket": str(self.folder / "redis.sock"),
        }
        words = [word for name, value in given.items() for word in (f"--{name}", value)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                dies_with_parent(["redis-server", *words, *self.options]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"redis-server did not start:\n{(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it in order, keeping its data."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, keeping what it had written."""
        self._end(signal.SIGKILL)

    def remove(self) -> None:
        """End it and delete the data."""
        self._end(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def client(self) -> Any:
        """Return a client of its own for looking from outside."""
        import redis

        return redis.Redis.from_url(self.url, protocol=2, decode_responses=True)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", self.port)) != 0:
                return False
            probe.sendall(b"PING\r\n")
            # While it reads its data it answers -LOADING; one that wants a password answers -NOAUTH, and is there.
            return probe.recv(100).startswith((b"+PONG", b"-NOAUTH"))

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
