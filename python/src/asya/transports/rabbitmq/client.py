"""The one module that imports the AMQP library: connecting, and its errors in our words.

The library is aiormq, the protocol layer that aio-pika is made of, by the same authors. What aio-pika adds above it
(objects per message, exchanges, its own reconnecting) costs time per message and at start, and none of it is used here.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import aiormq
from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel
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

from asya.errors import ConnectionLostError, DeniedError, TransportError
from asya.transports.rabbitmq.address import Address
from asya.transports.rabbitmq.topology import Version

__all__ = [
    "Channel",
    "ChannelNotFoundEntity",
    "ChannelPreconditionFailed",
    "Connection",
    "DeliveredMessage",
    "DeliveryError",
    "PublishError",
    "connect",
    "open_channel",
    "properties",
    "translated",
    "version",
]

CONNECT_SECONDS = 15.0
# It logs each loss of a connection several times with tracebacks; we log it once, and the error carries the rest.
logging.getLogger("aiormq.connection").setLevel(logging.CRITICAL)
_DENIED = (ProbableAuthenticationError, AuthenticationError, ConnectionNotAllowed, ChannelAccessRefused)


class Connection(aiormq.Connection):
    """The library's connection, telling of `connection.blocked`, for which it has no hook: its methods are private."""

    def __init__(self, *args: Any, on_blocked: Callable[[str | None], None] | None = None, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self._on_blocked = on_blocked

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
        with translated(f"{address}: "):
            async with asyncio.timeout(CONNECT_SECONDS):
                await connection.connect()
    except BaseException:
        if not connection.is_closed:
            await connection.close()
        raise
    return connection


async def open_channel(connection: Connection, *, confirms: bool = False) -> Channel:
    """Open a channel; with `confirms`, a publish ends when the broker has confirmed it."""
    channel = await connection.channel(publisher_confirms=confirms)
    assert isinstance(channel, Channel)  # noqa: S101  its interface lacks what is used here
    return channel


def version(connection: Connection) -> Version:
    """Return major and minor version of the broker; (0, 0) when it does not tell."""
    text = str((connection.server_properties or {}).get("version", ""))
    numbers = [int(part) for part in text.split(".")[:2] if part.isdecimal()]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)


def properties(message_id: str, headers: Any) -> aiormq.spec.Basic.Properties:  # noqa: ANN401  a field table
    """Return the properties of a persistent message."""
    return aiormq.spec.Basic.Properties(delivery_mode=2, message_id=message_id, headers=headers)


@contextmanager
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
        raise _ours(error, where) from error


def _ours(error: Exception, where: str) -> TransportError:
    if isinstance(error, _DENIED):
        return DeniedError(f"{where}{_text(error)}")
    if isinstance(error, InvalidFrameError) and "Connection.OpenOk" in str(error.args):
        # The library drops the broker's words; the one thing refused at this step is the virtual host.
        return DeniedError(f"{where}the virtual host does not exist or the user may not enter it")
    if isinstance(error.__cause__, ssl.SSLCertVerificationError) or isinstance(error, ssl.SSLCertVerificationError):
        return DeniedError(f"{where}the broker's certificate is not trusted: {_text(error)}")
    if isinstance(error, TimeoutError):
        return ConnectionLostError(f"{where}no answer in time")
    return ConnectionLostError(f"{where}{_text(error)}")


def _text(error: Exception) -> str:
    return " ".join(str(arg) for arg in error.args) or type(error).__name__
