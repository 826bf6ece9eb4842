"""`/healthz` and `/readyz` for the kubelet, over h11.

Alive means that the event loop turns and the sidecar's own tasks run. Ready means that messages could be handled now:
the broker is connected, a runtime has room, nothing blocks receiving, and the process was not asked to stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import h11
import msgspec

READ_BYTES = 4096
REQUEST_SECONDS = 5.0

Problems = Callable[[], list[str]]
"""Returns what is wrong at the moment, in words; empty when all is well."""

Awaited = Callable[[], str]
"""Returns the one of those problems that ends by itself when the runtime has started, else an empty text."""


class HealthServer:
    """Serves the two probes; the body names each problem, and which of them is only start-up (`awaiting`)."""

    def __init__(self, address: tuple[str, int], *, alive: Problems, ready: Problems, awaited: Awaited) -> None:
        self._address = address
        self._awaited = awaited
        self._checks = {b"/healthz": alive, b"/readyz": ready}
        self._server: asyncio.Server | None = None

    async def open(self) -> int:
        """Listen, and return the port."""
        host, port = self._address
        self._server = await asyncio.start_server(self._serve, host or None, port)
        listening: int = self._server.sockets[0].getsockname()[1]
        return listening

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = h11.Connection(h11.SERVER)
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                while True:
                    event = protocol.next_event()
                    if event is h11.NEED_DATA:
                        protocol.receive_data(await reader.read(READ_BYTES))
                    elif isinstance(event, h11.Request):
                        writer.write(self._answer(protocol, event))
                        await writer.drain()
                        return
                    else:
                        return
        except (TimeoutError, OSError, h11.ProtocolError):
            return
        finally:
            writer.close()

    def _answer(self, protocol: h11.Connection, request: h11.Request) -> bytes:
        check = self._checks.get(request.target.partition(b"?")[0])
        if check is None:
            status = 404
            answer: dict[str, Any] = {"error": "only /healthz and /readyz are here"}
        else:
            problems = check()
            status = 503 if problems else 200
            answer = {"status": "failing" if problems else "ok", "problems": problems, "awaiting": self._awaited()}
        body = msgspec.json.encode(answer)
        fields = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Connection", "close")]
        out = protocol.send(h11.Response(status_code=status, headers=fields)) or b""
        out += protocol.send(h11.Data(data=body)) or b""
        return out + (protocol.send(h11.EndOfMessage()) or b"")
