"""A bare AMQP 0.9.1 connection on asyncio.Protocol: for measuring only.

No heartbeat, TLS, flow control or reconnect. The raw loop is made of it, and the benchmark fills, counts and drains
queues with it. It needs nothing but pamqp, so it runs in both environments.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from pamqp import commands, frame

PERSISTENT = 2
_HEAD = struct.Struct(">BHI")
_DELIVER, _CONFIRM, _REJECT = (60, 60), (60, 80), (60, 120)
_CHANNEL = 1


class Template:
    """What precedes the body of every message that goes one way, encoded once."""

    def __init__(self, exchange: str, key: str, properties: dict[str, Any], frame_max: int) -> None:
        self._method: bytes = frame.marshal(commands.Basic.Publish(exchange=exchange, routing_key=key), _CHANNEL)
        self._properties: bytes = commands.Basic.Properties(**properties).marshal()
        self._room = frame_max - 8

    def message(self, body: bytes, *, replace: tuple[bytes, bytes] | None = None) -> bytes:
        """Return the frames of one message; `replace` gives each message an id of its own in the properties."""
        properties = self._properties if replace is None else self._properties.replace(*replace)
        header = struct.pack(">HHQ", 60, 0, len(body)) + properties
        parts = [self._method, _HEAD.pack(2, _CHANNEL, len(header)), header, b"\xce"]
        for start in range(0, len(body), self._room):
            piece = body[start : start + self._room]
            parts += (_HEAD.pack(3, _CHANNEL, len(piece)), piece, b"\xce")
        return b"".join(parts)


def _ignore(_tag: int, _what: object) -> None:
    """Nobody listens."""


class Connection(asyncio.Protocol):
    """One connection with one channel. `on_delivery` gets tag and body, `on_confirm` tag and whether up to it."""

    def __init__(self) -> None:
        self.on_delivery: Callable[[int, bytes], None] = _ignore
        self.on_confirm: Callable[[int, bool], None] = _ignore
        self.frame_max = 131072
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._buffer = bytearray()
        self._answer: asyncio.Future[Any] = self._loop.create_future()
        self._out: list[bytes] = []
        self._tag = self._missing = 0
        self._pieces: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # of TCP
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)
        if not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("the broker closed the connection"))
            self._answer.exception()  # nobody may be waiting

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        at, end = 0, len(buffer)
        while end - at >= 8:
            kind, _, size = _HEAD.unpack_from(buffer, at)
            if end - at < size + 8:
                break
            start = at + 7
            if kind == 3:
                self._body(bytes(buffer[start : start + size]))
            elif kind == 2:
                (self._missing,) = struct.unpack_from(">Q", buffer, start + 4)
                if not self._missing:
                    self.on_delivery(self._tag, b"")
            elif kind == 1:
                self._method(buffer, start, at, size)
            at += size + 8
        if at:
            del buffer[:at]

    def _method(self, buffer: bytearray, start: int, at: int, size: int) -> None:
        method = struct.unpack_from(">HH", buffer, start)
        if method == _DELIVER:
            (self._tag,) = struct.unpack_from(">Q", buffer, start + 5 + buffer[start + 4])
        elif method == _CONFIRM:
            (tag,) = struct.unpack_from(">Q", buffer, start + 4)
            self.on_confirm(tag, bool(buffer[start + 12] & 1))
        elif method == _REJECT:
            raise AssertionError("the broker refused a message")
        else:
            _, _, found = frame.unmarshal(bytes(buffer[at : at + size + 8]))
            if self._answer.done():
                raise AssertionError(f"unexpected from the broker: {found}")
            self._answer.set_result(found)

    def _body(self, piece: bytes) -> None:
        self._missing -= len(piece)
        if self._missing or self._pieces:
            self._pieces.append(piece)
            if self._missing:
                return
            piece = b"".join(self._pieces)
            self._pieces.clear()
        self.on_delivery(self._tag, piece)

    def write(self, data: bytes) -> None:
        """Send at the end of this turn of the loop, together with all else."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        self._transport.write(b"".join(self._out))
        self._out.clear()

    def ack(self, tag: int, multiple: bool = False) -> None:
        self.write(struct.pack(">BHIHHQBB", 1, _CHANNEL, 13, 60, 80, tag, multiple, 0xCE))

    async def call(self, method: Any, channel: int = _CHANNEL) -> Any:
        """Send a method and return the broker's answer to it.

        Raises:
            ConnectionResetError: The broker refused it.
        """
        return await self._ask(frame.marshal(method, channel))

    async def _ask(self, data: bytes) -> Any:
        self._answer = self._loop.create_future()
        self._transport.write(data)
        answer = await self._answer
        if isinstance(answer, (commands.Channel.Close, commands.Connection.Close)):
            self._transport.close()
            raise ConnectionResetError(f"{answer.reply_code} {answer.reply_text}")
        return answer

    async def close(self) -> None:
        await self.call(commands.Connection.Close(200, "", 0, 0), 0)
        self._transport.close()
        await self.closed

    async def log_in(self, user: str, password: str, vhost: str) -> None:
        await self._ask(b"AMQP\x00\x00\x09\x01")
        tune = await self.call(commands.Connection.StartOk({}, "PLAIN", f"\0{user}\0{password}", "en_US"), 0)
        self.frame_max = tune.frame_max
        self._transport.write(frame.marshal(commands.Connection.TuneOk(tune.channel_max, tune.frame_max, 0), 0))
        await self.call(commands.Connection.Open(vhost), 0)
        await self.call(commands.Channel.Open())


async def connect(url: str, *, confirm: bool = False, prefetch: int = 0) -> Connection:
    """Connect, log in and open the channel."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, parts.hostname, parts.port)
    await connection.log_in(parts.username or "", parts.password or "", unquote(parts.path[1:]) or "/")
    if confirm:
        await connection.call(commands.Confirm.Select())
    if prefetch:
        await connection.call(commands.Basic.Qos(prefetch_count=prefetch))
    return connection
