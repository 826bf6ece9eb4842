"""HTTP/1.1 as far as calls to SQS need it: one request, one answer, connections that are kept. On the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from typing import Final, NamedTuple, cast

_MOST_HEAD: Final = 64 * 1024
_END: Final = b"\r\n\r\n"
_OF_USE: Final = frozenset({b"connection", b"content-length", b"transfer-encoding"})
CONNECT_SECONDS: Final = 5.0


class BadAnswerError(Exception):
    """What came is no answer in HTTP."""


class Answer(NamedTuple):
    """Status and body; `kept`: the connection may be used again."""

    status: int
    body: bytes
    kept: bool


class Server(NamedTuple):
    """Where to connect; `tls` is None for a server without it."""

    host: str
    port: int
    tls: ssl.SSLContext | None


def read(data: bytes | bytearray, *, ended: bool = False) -> Answer | None:
    """Return the answer that `data` holds; None when more is to come. `ended`: nothing more will (RFC 9112, section 6).

    Raises:
        BadAnswerError: It never will be one.
    """
    end = data.find(_END)
    if end < 0:
        if ended or len(data) > _MOST_HEAD:
            raise BadAnswerError("no head")
        return None
    first, *lines = bytes(data[:end]).lower().split(b"\r\n")
    if not first.startswith(b"http/1.") or not first[9:12].isdigit():
        raise BadAnswerError(f"not HTTP/1: {first[:40]!r}")
    pairs = (line.partition(b":") for line in lines)
    fields = {name: value.strip() for name, _, value in pairs if name in _OF_USE}
    kept = first.startswith(b"http/1.1") and fields.get(b"connection") != b"close" and not ended
    status, start = int(first[9:12]), end + len(_END)
    if fields.get(b"transfer-encoding") == b"chunked":
        body = _unchunked(data, start)
    elif (length := fields.get(b"content-length")) is not None:
        if not length.isdigit():
            raise BadAnswerError(f"a length of {length[:40]!r}")
        body = bytes(data[start : start + int(length)]) if len(data) >= start + int(length) else None
    else:
        body, kept = (bytes(data[start:]) if ended else None), False
    if body is None:
        if ended:
            raise BadAnswerError("cut off")
        return None
    return Answer(status, body, kept)


def _unchunked(data: bytes | bytearray, at: int) -> bytes | None:
    parts: list[bytes] = []
    while (end := data.find(b"\r\n", at)) >= 0:
        try:
            size = int(bytes(data[at:end]).partition(b";")[0], 16)
        except ValueError:
            raise BadAnswerError("a chunk without its size") from None
        at = end + 2
        if not size:
            # Nobody here sends fields behind the last chunk.
            return b"".join(parts) if data[at : at + 2] == b"\r\n" else None
        parts.append(bytes(data[at : at + size]))
        at += size + 2
    return None


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.open = False
        self._data = bytearray()
        self._answer: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self.open = cast("asyncio.Transport", transport), True
        with contextlib.suppress(OSError, AttributeError):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        self._data += data
        self._look()

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        if self._answer is not None and not self._answer.done():
            if error is None:
                self._look(ended=True)
            else:
                self._answer.set_exception(error)

    async def ask(self, request: bytes) -> Answer:
        assert self._transport is not None  # noqa: S101  it is connected
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._answer
        finally:
            self._answer = None

    def close(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    def _look(self, *, ended: bool = False) -> None:
        if self._answer is None or self._answer.done():
            self.close()  # nobody has asked for this
            return
        try:
            answer = read(self._data, ended=ended)
        except BadAnswerError as error:
            self._answer.set_exception(error)
        else:
            if answer is not None:
                self._data.clear()
                self._answer.set_result(answer)


class Connections:
    """Connections that are used again; as many as there are requests at once."""

    def __init__(self) -> None:
        self._free: dict[Server, deque[_Connection]] = {}
        self._closed = False

    async def ask(self, server: Server, request: bytes, within: float) -> Answer:
        """Send a request and return the answer to it.

        Raises:
            OSError: There is no connection, or not any more, or no answer `within` so many seconds.
            BadAnswerError: What came is no answer.
        """
        connection = self._known(server) or await self._new(server)
        try:
            async with asyncio.timeout(within):
                answer = await connection.ask(request)
        except BaseException:
            connection.close()
            raise
        if answer.kept and connection.open and not self._closed:
            self._free.setdefault(server, deque()).append(connection)
        else:
            connection.close()
        return answer

    def close(self) -> None:
        """Keep no connection any more."""
        self._closed = True
        for free in self._free.values():
            for connection in free:
                connection.close()
        self._free.clear()

    def _known(self, server: Server) -> _Connection | None:
        free = self._free.get(server)
        while free:
            # The one that was used last: the others end by themselves when there is less to do.
            connection = free.pop()
            if connection.open:
                return connection
        return None

    async def _new(self, server: Server) -> _Connection:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, connection = await asyncio.get_running_loop().create_connection(
                _Connection, server.host, server.port, ssl=server.tls
            )
        return connection
