"""Serving the loopback API inside the supervisor's event loop, and telling clients where it is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from asya.errors import AsyaError

ADDRESS_FILE = "api.json"


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave SIGINT and SIGTERM to the supervisor, which drains before it stops serving."""
        yield


class ApiServer:
    """One listening API. `url` has the form ``http://127.0.0.1:PORT``."""

    def __init__(self, port: int = 0, *, option: str = "--port") -> None:
        """Take a loopback port (0 = any free one); `option` is where the user chose it.

        Raises:
            AsyaError: The port is taken.
        """
        # With the protocol named, asyncio switches Nagle's algorithm off for what is accepted; without it each answer
        # in two writes would wait 40 ms for the other side's delayed acknowledgement.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind(("127.0.0.1", port))
        except OSError as error:
            self._socket.close()
            raise AsyaError(
                f"port {port} on 127.0.0.1 cannot be used: {error.strerror}; choose another {option}"
            ) from None
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.token = secrets.token_urlsafe(32)
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self, app: ASGIApp) -> None:
        """Begin to serve; returns when requests are answered."""
        self._socket.listen(1024)
        config = uvicorn.Config(
            app, log_config=None, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
                raise AsyaError("the API server stopped while it was starting")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Stop serving; open streams are cut after a second. Idempotent."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await asyncio.wait([self._serving])
            self._server = self._serving = None
        self._socket.close()


def write_address(folder: Path, url: str, token: str) -> None:
    """Write ``api.json`` (mode 0600) so that a reader sees the old one or the whole new one."""
    temporary = folder / f"{ADDRESS_FILE}.{os.getpid()}"
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"url": url, "token": token}, file)
    temporary.replace(folder / ADDRESS_FILE)
