"""A small HTTP/1.1 client over h11 (RFC 9112): one address, a few kept-alive connections, no redirects.

A sidecar carries no web framework; all it needs is to post a few bytes of JSON now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from urllib.parse import urlsplit

import h11

READ_BYTES = 65536
LONGEST_ANSWER = 16 * 1024 * 1024
KEPT_CONNECTIONS = 8


class HttpError(Exception):
    """No usable answer; the message says why."""


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.protocol = h11.Connection(h11.CLIENT)

    async def exchange(self, request: h11.Request, body: bytes) -> tuple[int, bytes]:
        """Send one request and read its answer."""
        out = self.protocol.send(request) or b""
        if body:
            out += self.protocol.send(h11.Data(data=body)) or b""
        out += self.protocol.send(h11.EndOfMessage()) or b""
        self.writer.write(out)
        await self.writer.drain()
        status, answer = 0, bytearray()
        while True:
            event = self.protocol.next_event()
            if event is h11.NEED_DATA:
                self.protocol.receive_data(await self.reader.read(READ_BYTES))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                answer += event.data
                if len(answer) > LONGEST_ANSWER:
                    raise HttpError("the answer is too long")
            elif isinstance(event, h11.EndOfMessage):
                return status, bytes(answer)
            elif isinstance(event, h11.ConnectionClosed):
                raise HttpError("the connection was closed")

    def reuse(self) -> bool:
        """Make ready for the next request; False when the connection must go."""
        if self.protocol.our_state is h11.DONE and self.protocol.their_state is h11.DONE:
            self.protocol.start_next_cycle()
            return True
        return False

    def close(self) -> None:
        self.writer.close()


class HttpClient:
    """Requests to one base URL."""

    def __init__(self, url: str, token: str | None) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._tls = parts.scheme == "https"
        self._port = parts.port or (443 if self._tls else 80)
        self._prefix = parts.path.rstrip("/")
        self._authority = parts.netloc.rpartition("@")[2]
        self._token = token
        self._free: list[_Connection] = []

    async def request(self, method: str, path: str, body: bytes, *, seconds: float) -> tuple[int, bytes]:
        """Return status and body of the answer.

        Raises:
            HttpError: No connection, no answer within `seconds`, or none that is HTTP.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._request(method, path, body)
        except TimeoutError:
            raise HttpError(f"no answer within {seconds:g} s") from None
        except (OSError, h11.ProtocolError, ValueError) as error:  # ValueError: a host or path that cannot be written
            raise HttpError(str(error) or type(error).__name__) from None

    async def close(self) -> None:
        """Close the kept connections."""
        for connection in self._free:
            connection.close()
        for connection in self._free:
            with contextlib.suppress(Exception):
                await connection.writer.wait_closed()
        self._free.clear()

    async def _request(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        fields = [("Host", self._authority), ("Accept", "application/json"), ("User-Agent", "asya-sidecar")]
        if body or method == "POST":
            fields += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        if self._token:
            fields.append(("Authorization", f"Bearer {self._token}"))
        request = h11.Request(method=method, target=self._prefix + path, headers=fields)
        kept = self._free.pop() if self._free else None
        if kept is not None:
            try:
                return await self._exchange(kept, request, body)
            except (OSError, h11.ProtocolError, HttpError):
                pass  # a kept connection may have been closed by the other side; a fresh one tells
        reader, writer = await asyncio.open_connection(
            self._host, self._port, ssl=ssl.create_default_context() if self._tls else None
        )
        return await self._exchange(_Connection(reader, writer), request, body)

    async def _exchange(self, connection: _Connection, request: h11.Request, body: bytes) -> tuple[int, bytes]:
        try:
            answer = await connection.exchange(request, body)
        except BaseException:
            connection.close()
            raise
        if len(self._free) < KEPT_CONNECTIONS and connection.reuse():
            self._free.append(connection)
        else:
            connection.close()
        return answer
