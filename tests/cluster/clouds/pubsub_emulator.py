"""The Pub/Sub emulator of a Google Cloud SDK that lies on the machine."""

from __future__ import annotations

import ipaddress
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from tests.support.host import free_port

FOLDER = Path("/usr/lib/google-cloud-sdk/platform/pubsub-emulator")
READY_SECONDS = 40.0
STOP_SECONDS = 10.0


class EmulatorUnavailableError(Exception):
    """No emulator can be had here; the text says why."""


class PubsubEmulator:
    """A context manager: the emulator runs within it. `address` is host and port, for gRPC and HTTP alike."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._host, self._port = host, port or free_port()
        self.address = f"{self._host}:{self._port}"
        self._folder = tempfile.TemporaryDirectory(suffix="-pubsub")
        self._log = Path(self._folder.name) / "emulator.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it and wait until it answers.

        Raises:
            EmulatorUnavailableError: It is not installed.
        """
        jars = sorted(FOLDER.glob("lib/cloud-pubsub-emulator-*-all.jar"))
        if not jars:
            raise EmulatorUnavailableError(f"the Pub/Sub emulator is not installed in {FOLDER}")
        options = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx192m"]
        command = ["java", *options, "-jar", str(jars[-1]), f"--host={self._bound()}", f"--port={self._port}"]
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
                )
        except FileNotFoundError as error:
            raise EmulatorUnavailableError("the Pub/Sub emulator needs Java") from error
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self.stop()

    def _bound(self) -> str:
        """Its HTTP API asks its own gRPC API over loopback, so on another address it has to listen on all."""
        return self._host if ipaddress.ip_address(self._host).is_loopback else "0.0.0.0"

    def client(self) -> httpx.Client:
        """Return a client of its HTTP API."""
        return httpx.Client(base_url=f"http://{self.address}", timeout=10)

    def stop(self) -> None:
        """End it; what it held is gone."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        self._folder.cleanup()

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        with self.client() as api:
            while True:
                try:
                    api.get("/v1/projects/none/topics")
                except httpx.TransportError:
                    ended = self._process is None or self._process.poll() is not None
                    if ended or time.monotonic() > deadline:
                        raise RuntimeError(self._log.read_text(errors="replace")[-4000:]) from None
                    time.sleep(0.1)
                else:
                    return
