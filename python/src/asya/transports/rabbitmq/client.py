"""The protocol layer, aiormq: connecting, and its errors in our words. `aiopika`, the engine, works on it.

Decision: aio-pika is for what is asked, made and deleted (`admin`), the layer it is made of for messages: what it adds
above (objects per message, exchanges, its own reconnecting) costs time for each message, and none of it is used there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import aiormq
from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from aiormq.exceptions import (
    AuthenticationError,
    ChannelAccessRefused,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    ConnectionNotAllowed,
    DeliveryError,
    InvalidFrameError,
    ProbableAuthenticationError,
    PublishError,
)
from pamqp import encode

from asya.errors import ConnectionLostError, DeniedError, TransportError
from asya.transports.rabbitmq.address import Address
from asya.transports.rabbitmq.topology import Version

if TYPE_CHECKING:
    from yarl import URL

__all__ = [
    "Channel",
    "ChannelAccessRefused",
    "ChannelNotFoundEntity",
    "ChannelPreconditionFailed",
    "Connection",
    "DeliveredMessage",
    "DeliveryError",
    "PublishError",
    "close",
    "connect",
    "connecting",
    "open_channel",
    "ours",
    "table",
    "translated",
    "version",
    "words",
]

CONNECT_SECONDS = 15.0
CLOSE_SECONDS = 3.0
# It logs each loss of a connection several times with tracebacks; we log it once, and the error carries the rest.
logging.getLogger("aiormq.connection").setLevel(logging.CRITICAL)
_DENIED = (ProbableAuthenticationError, AuthenticationError, ConnectionNotAllowed, ChannelAccessRefused)


class _Wire(TransportFactory):
    """Opens the socket as the library does, and keeps hold of it."""

    writer: asyncio.StreamWriter | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:  # noqa: ANN401
        """See the library."""
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, self.writer = await factory.create(url, **kwargs)
        return reader, self.writer


class Connection(aiormq.Connection):
    """The library's connection, telling of `connection.blocked`, for which it has no hook: its methods are private."""

    def __init__(self, *args: Any, on_blocked: Callable[[str | None], None] | None = None, **kwargs: Any) -> None:  # noqa: ANN401
        self._wire = _Wire()
        super().__init__(*args, transport_factory=self._wire, **kwargs)
        self._on_blocked = on_blocked
        self._unsent: list[Callable[[], bytes]] = []

    def send(self, frames: Callable[[], bytes]) -> None:
        """Send whole frames with all others of this turn of the loop, in one write; `frames` is asked for them then.

        They go past the library's queue of frames. What it sends by itself on a channel in use is only the end of the
        channel, and `flush` goes before that.
        """
        if not self._unsent:
            self.loop.call_soon(self.flush)
        self._unsent.append(frames)

    def flush(self) -> None:
        """Hand to the network now what is to be sent in this turn."""
        unsent, self._unsent = self._unsent, []
        writer = self._wire.writer
        if unsent and writer is not None and not writer.transport.is_closing():
            writer.write(b"".join([frames() for frames in unsent]))

    def abort(self) -> None:
        """Cut the connection without a word."""
        if self._wire.writer is not None:
            self._wire.writer.transport.abort()

    async def _Connection__handle_connection_blocked(self, frame: aiormq.spec.Connection.Blocked) -> None:  # noqa: N802
        await super()._Connection__handle_connection_blocked(frame)  # type: ignore[misc]
        if self._on_blocked is not None:
            self._on_blocked(frame.reason or "no reason given")

    async def _Connection__handle_connection_unblocked(self, frame: aiormq.spec.Connection.Unblocked) -> None:  # noqa: N802
        await super()._Connection__handle_connection_unblocked(frame)  # type: ignore[misc]
        if self._on_blocked is not None:
            self._on_blocked(None)


async def connect(address: Address, purpose: str, on_blocked: Callable[[str | None], None] | None = None) -> Connection:
    """Open a connection named for its `purpose`; `on_blocked` hears a reason, or None when publishing goes on.

    Raises:
        DeniedError: Credentials, virtual host or certificate; trying again does not help.
        ConnectionLostError: The host could not be reached.
    """
    context = address.trust.context() if address.trust is not None else None
    connection = Connection(
        f"{address.url}?heartbeat={address.heartbeat}&name=asya-{purpose}", context=context, on_blocked=on_blocked
    )
    try:
        with connecting(address):
            async with asyncio.timeout(CONNECT_SECONDS):
                await connection.connect()
    except BaseException:
        await close(connection)
        raise
    return connection


async def close(connection: Connection | None) -> None:
    """Disconnect. Idempotent; bounded in time, for a broker that blocks reads nothing, not even a goodbye."""
    if connection is not None and not connection.is_closed:
        connection.flush()
        closing = asyncio.ensure_future(connection.close())
        _, late = await asyncio.wait({closing}, timeout=CLOSE_SECONDS)
        if late:
            connection.abort()
            await asyncio.wait({closing}, timeout=CLOSE_SECONDS)


async def open_channel(connection: Connection, *, confirms: bool = False) -> Channel:
    """Open a channel; with `confirms`, a publish ends when the broker has confirmed it."""
    channel = await connection.channel(publisher_confirms=confirms)
    assert isinstance(channel, Channel)  # noqa: S101  its interface lacks what is used here
    return channel


def version(connection: aiormq.abc.AbstractConnection) -> Version:
    """Return major and minor version of the broker; (0, 0) when it does not tell."""
    text = str((connection.server_properties or {}).get("version", ""))
    numbers = [int(part) for part in text.split(".")[:2] if part.isdecimal()]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)


def table(headers: Mapping[str, Any]) -> bytes:
    """Encode headers as AMQP's table of fields."""
    return encode.field_table(dict(headers))


@contextlib.contextmanager
def connecting(address: Address) -> Iterator[None]:
    """Turn the library's errors into ours, and keep a cancellation one.

    Cancelled while the broker refuses, the library may raise the refusal instead; who tries for ever would never end.
    """
    try:
        with translated(f"{address}: "):
            yield
    except TransportError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError from error
        raise


@contextlib.contextmanager
def translated(where: str = "") -> Iterator[None]:
    """Turn the library's errors into ours; `where` begins the text."""
    try:
        yield
    except TransportError:
        raise
    except asyncio.CancelledError as error:
        # A channel that closes cancels those who wait on it, although nobody asked this task to end.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ConnectionLostError(f"{where}the channel was closed") from error
    except Exception as error:
        raise ours(error, where) from error


def ours(error: BaseException, where: str = "") -> TransportError:
    """Return our error for one of the library's; `where` begins the text."""
    if isinstance(error, TransportError):
        return error
    if isinstance(error, _DENIED):
        return DeniedError(f"{where}{words(error)}")
    if isinstance(error, InvalidFrameError) and "Connection.OpenOk" in str(error.args):
        # The library drops the broker's words; the one thing refused at this step is the virtual host.
        return DeniedError(f"{where}the virtual host does not exist or the user may not enter it")
    if isinstance(error.__cause__, ssl.SSLCertVerificationError) or isinstance(error, ssl.SSLCertVerificationError):
        return DeniedError(f"{where}the broker's certificate is not trusted: {words(error)}")
    if isinstance(error, TimeoutError):
        return ConnectionLostError(f"{where}no answer in time")
    return ConnectionLostError(f"{where}{words(error)}")


def words(error: BaseException) -> str:
    """Return what an error of the library says."""
    return " ".join(str(arg) for arg in error.args) or type(error).__name__
