"""A small HTTP/1.1 server over h11 (RFC 9112): GET of a few fixed paths, one request for each connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import h11

READ_BYTES = 4096
REQUEST_SECONDS = 5.0

Address = tuple[str, int]
"""Host (empty for all addresses) and port."""


class Answer(NamedTuple):
    """What is sent back."""

    status: int
    content_type: str
    body: bytes


Route = Callable[[str], Awaitable[Answer]]
"""Answers one path; is given the request's `Accept` header, empty when there was none."""


class HttpServer:
    """Serves `routes`, by path."""

    def __init__(self, address: Address, routes: dict[str, Route]) -> None:
        self._address, self._routes = address, routes
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
                        writer.write(_written(protocol, await self._answer(event)))
                        await writer.drain()
                        return
                    else:
                        return
        except (TimeoutError, OSError, h11.ProtocolError):
            return
        except asyncio.CancelledError:
            # The process ends during a request. asyncio would log it as an error: it owns this task.
            return
        finally:
            writer.close()

    async def _answer(self, request: h11.Request) -> Answer:
        route = self._routes.get(request.target.partition(b"?")[0].decode("ascii", "replace"))
        if route is None:
            return Answer(404, "text/plain; charset=utf-8", f"only {', '.join(sorted(self._routes))} here\n".encode())
        accept = next((value for name, value in request.headers if name == b"accept"), b"")
        return await route(accept.decode("ascii", "replace"))


def _written(protocol: h11.Connection, answer: Answer) -> bytes:
    fields = [
        ("Content-Type", answer.content_type),
        ("Content-Length", str(len(answer.body))),
        ("Connection", "close"),
    ]
    out = protocol.send(h11.Response(status_code=answer.status, headers=fields)) or b""
    out += protocol.send(h11.Data(data=answer.body)) or b""
    return out + (protocol.send(h11.EndOfMessage()) or b"")
