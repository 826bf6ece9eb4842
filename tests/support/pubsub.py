"""Google's Pub/Sub emulator for tests, on a free loopback port; it dies with this process.

`Emulator` is a context manager. What is in it is in memory only: `stop` and `start` make an empty one on the same port.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from tests.support.host import Started, dies_with_parent, free_port

FOLDERS = (Path("/usr/lib/google-cloud-sdk"), Path.home() / "google-cloud-sdk", Path("/opt/google-cloud-sdk"))
WITHIN = Path("platform/pubsub-emulator/lib")
START_SECONDS = 90.0
LOOPBACK = "127.0.0.1"
GIVEN = "ASYA_TEST_PUBSUB_ENDPOINT"


class EmulatorUnavailableError(Exception):
    """No emulator can be had here; the text says why."""


def find() -> Path:
    """Return the emulator's archive.

    Raises:
        EmulatorUnavailableError: It, or a Java to run it, is not installed.
    """
    found = [jar for folder in FOLDERS for jar in sorted((folder / WITHIN).glob("cloud-pubsub-emulator-*-all.jar"))]
    if not found:
        raise EmulatorUnavailableError(
            f"Google's Pub/Sub emulator is not under {' or '.join(map(str, FOLDERS))}; install the package "
            f"google-cloud-cli-pubsub-emulator, or name one that runs by {GIVEN}"
        )
    if shutil.which("java") is None:
        raise EmulatorUnavailableError("Google's Pub/Sub emulator is here, but no java to run it")
    return found[-1]


@dataclass
class Emulator(Started):
    """One emulator. Raises EmulatorUnavailableError where it is started and not installed."""

    host: str = LOOPBACK
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None
    _log: Path = field(init=False)

    def __post_init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="asya-pubsub-"))
        self._log = self._folder / "log"

    @property
    def endpoint(self) -> str:
        """Its address, for ASYA_PUBSUB_ENDPOINT."""
        return f"{self.host}:{self.port}"

    def client(self) -> httpx.Client:
        """Return a client of its HTTP API, which is on the same port."""
        return httpx.Client(base_url=f"http://{self.endpoint}", timeout=10)

    def start(self) -> None:
        """Start it and wait until it answers."""
        # A small heap and the simple compiler and collector: it shares the machine with what it is the broker of.
        options = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        # Its HTTP API asks its own gRPC API over loopback, so on another address it has to listen on all.
        bound = LOOPBACK if self.host == LOOPBACK else "0.0.0.0"
        java = ["java", *options, "-jar", str(find()), f"--host={bound}", f"--port={self.port}"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(dies_with_parent(java), stdout=log, stderr=log)
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"the emulator did not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it, with all that is in it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def remove(self) -> None:
        """End it and remove its files."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0


@contextmanager
def running(environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Give the address of the emulator that is named by the environment, else of one for the time being."""
    if given := environ.get(GIVEN):
        yield given
        return
    with Emulator() as emulator:
        yield emulator.endpoint
