"""Opening a connection: network, TLS, login, limits, virtual host. Source: AMQP 0-9-1 §2.2.4 and §4.2.2."""

from __future__ import annotations

import asyncio
import platform
import socket
from typing import Any

from pamqp import commands

from asya import __version__
from asya.errors import ConnectionLostError, DeniedError, TransportError
from asya.transports.rabbitmq import refusals
from asya.transports.rabbitmq.address import Address
from asya.transports.rabbitmq.engine import OnBlocked
from asya.transports.rabbitmq.fast.connection import Connection
from asya.transports.rabbitmq.fast.errors import ClosedError
from asya.transports.rabbitmq.fast.reader import FRAME_BYTES

CONNECT_SECONDS = 15.0
SMALLEST_FRAME = 4096
"""Below it nobody may go."""
_HEADER = b"AMQP\x00\x00\x09\x01"


async def connect(address: Address, purpose: str, on_blocked: OnBlocked | None = None) -> Connection:
    """Open a connection named for its `purpose`; `on_blocked` hears a reason, or None when publishing goes on.

    Raises:
        DeniedError: Credentials, virtual host or certificate; trying again does not help.
        ConnectionLostError: The host could not be reached.
    """
    connection = Connection(on_blocked)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await _reach(address, connection)
            await _introduce(address, purpose, connection)
    except BaseException as error:
        connection.fail("not connected")
        if isinstance(error, TimeoutError):
            raise ConnectionLostError(f"{address}: no answer in time") from error
        if isinstance(error, ClosedError):
            raise ConnectionLostError(f"{address}: {error}") from error
        raise
    return connection


async def _reach(address: Address, connection: Connection) -> None:
    context = address.trust.context() if address.trust is not None else None
    loop = asyncio.get_running_loop()
    try:
        transport, _ = await loop.create_connection(lambda: connection, address.host, address.port, ssl=context)
        found: socket.socket | None = transport.get_extra_info("socket")
        if found is not None:
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except TimeoutError:
        raise
    except OSError as error:
        raise _unreachable(address, error) from error


def _unreachable(address: Address, error: OSError) -> TransportError:
    if address.trust is not None:
        import ssl  # noqa: PLC0415  only addresses with TLS need it

        if isinstance(error, ssl.SSLCertVerificationError):
            return DeniedError(f"{address}: the broker's certificate is not trusted: {error}")
    return ConnectionLostError(f"{address}: {error}")


async def _introduce(address: Address, purpose: str, connection: Connection) -> None:
    start = await connection.calls.ask(_HEADER, commands.Connection.Start)
    assert isinstance(start, commands.Connection.Start)  # noqa: S101  asked for
    mechanism, response = _login(address, str(start.mechanisms).split())
    try:
        tune = await connection.calls.ask(
            commands.Connection.StartOk(_properties(purpose), mechanism, response, "en_US"), commands.Connection.Tune
        )
    except ClosedError as error:
        if error.code == refusals.ACCESS_REFUSED:
            raise DeniedError(f"{address}: {error}") from error
        raise
    assert isinstance(tune, commands.Connection.Tune)  # noqa: S101  asked for
    frame_bytes = max(SMALLEST_FRAME, min(int(tune.frame_max or 0) or FRAME_BYTES, FRAME_BYTES))
    channel_max = int(tune.channel_max or 0) or 65535
    heartbeat = min(address.heartbeat, int(tune.heartbeat or 0) or address.heartbeat)
    connection.calls.send(commands.Connection.TuneOk(channel_max, frame_bytes, heartbeat))
    connection.agree(frame_bytes, channel_max, heartbeat)
    try:
        await connection.calls.ask(commands.Connection.Open(address.vhost), commands.Connection.OpenOk)
    except ClosedError as error:
        if error.code in {refusals.NOT_ALLOWED, refusals.ACCESS_REFUSED}:
            raise DeniedError(
                f"{address}: the virtual host does not exist or the user may not enter it: {error}"
            ) from error
        raise


def _login(address: Address, offered: list[str]) -> tuple[str, str]:
    """Return mechanism and response: by name and password, else by the client's certificate."""
    if "PLAIN" in offered:
        return "PLAIN", f"\0{address.username}\0{address.password}"
    if "EXTERNAL" in offered and address.trust is not None and address.trust.cert_file is not None:
        return "EXTERNAL", ""
    raise DeniedError(f"{address}: the broker takes {', '.join(offered)} for a login, which cannot be given")


def _properties(purpose: str) -> dict[str, Any]:
    return {
        "product": "asya",
        "version": __version__,
        "platform": f"{platform.python_implementation()} {platform.python_version()}",
        "connection_name": f"asya-{purpose}",
        "capabilities": {
            "authentication_failure_close": True,
            "basic.nack": True,
            "connection.blocked": True,
            "consumer_cancel_notify": True,
            "publisher_confirms": True,
        },
    }
