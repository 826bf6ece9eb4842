"""The administrator's client: what exists at the broker is asked, made and deleted by aio-pika.

Only `control` imports this module, when it is first needed: a sidecar that declares nothing does not load aio-pika. Why
messages move on another layer is said in `client`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection

from asya.errors import ConnectionLostError, NoDestinationError
from asya.transports.rabbitmq import client
from asya.transports.rabbitmq.address import Address
from asya.transports.rabbitmq.topology import Binding, Declaration, Exchange, Queue, Version


class Admin:
    """One connection. Errors are `asya.errors.TransportError`s only."""

    def __init__(self, connection: AbstractConnection, version: Version) -> None:
        self.version = version
        self._connection = connection

    @property
    def alive(self) -> bool:
        """Whether it can still be used."""
        return not self._connection.is_closed and self._connection.connected.is_set()

    async def counts(self, queues: Iterable[str]) -> dict[str, int | None]:
        """Return how many messages are ready in each queue, None where there is no such queue."""
        left, counts = deque(queues), dict[str, int | None]()
        while left:
            async with self._channel() as channel:
                while left:
                    name = left.popleft()
                    try:
                        queue = await channel.declare_queue(name, passive=True)
                    except client.ChannelNotFoundEntity:
                        counts[name] = None
                        break
                    counts[name] = queue.declaration_result.message_count
        return counts

    async def has_exchange(self, name: str) -> bool:
        """Tell whether an exchange exists."""
        async with self._channel() as channel:
            try:
                await channel.declare_exchange(name, passive=True)
            except client.ChannelNotFoundEntity:
                return False
            return True

    async def declare(self, wanted: Iterable[Declaration]) -> list[str]:
        """Declare in order; go on after what exists with other properties, and return what the broker said about it."""
        left, problems = deque(wanted), list[str]()
        while left:
            async with self._channel() as channel:
                while left:
                    step = left.popleft()
                    try:
                        await _declare(channel, step)
                    except client.ChannelPreconditionFailed as error:
                        name = step.key if isinstance(step, Binding) else step.name
                        problems.append(f"{name} exists otherwise: {error}")
                        break
        return problems

    @asynccontextmanager
    async def holding(self, queue: str, actor: str) -> AsyncIterator[AbstractChannel]:
        """Open a channel to take messages out of `queue` and publish them; what is not settled goes back at its end.

        Raises:
            NoDestinationError: There is no such queue.
        """
        with client.translated():
            channel = await self._connection.channel(on_return_raises=True)
        try:
            try:
                with client.translated():
                    await channel.declare_queue(queue, passive=True)
            except ConnectionLostError as error:
                if isinstance(error.__cause__, client.ChannelNotFoundEntity):
                    raise NoDestinationError(actor=actor, queue=queue) from error
                raise
            yield channel
        finally:
            # Its end is answered after all that was sent before: what was settled is.
            if not channel.is_closed:
                with client.translated():
                    await channel.close()

    async def delete(self, queues: Iterable[str]) -> None:
        """Delete the queues; RabbitMQ takes the deletion of a missing one for done."""
        async with self._channel() as channel:
            for queue in queues:
                await channel.queue_delete(queue)

    async def close(self) -> None:
        """Disconnect. Idempotent; bounded in time."""
        if not self._connection.is_closed:
            await asyncio.wait({asyncio.ensure_future(self._connection.close())}, timeout=client.CLOSE_SECONDS)

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[AbstractChannel]:
        """A channel for one operation: the broker closes it at the first thing that is not as expected."""
        with client.translated():
            # Confirms cost a round trip, and nothing is published here.
            channel = await self._connection.channel(publisher_confirms=False)
            try:
                yield channel
            finally:
                if not channel.is_closed:
                    await channel.close()


async def connect(address: Address) -> Admin:
    """Open a connection.

    Raises:
        DeniedError: Credentials, virtual host or certificate.
        ConnectionLostError: The host could not be reached.
    """
    with client.connecting(address):
        # Plain, not robust: what breaks is made anew by whoever asks next.
        connection = await aio_pika.connect(
            f"{address.url}?heartbeat={address.heartbeat}&name=asya-control",
            ssl_context=address.trust.context() if address.trust is not None else None,
            timeout=client.CONNECT_SECONDS,
        )
    transport = connection.transport
    assert transport is not None  # noqa: S101  it is set by connecting
    return Admin(connection, client.version(transport.connection))


async def _declare(channel: AbstractChannel, step: Declaration) -> None:
    match step:
        case Exchange(name, kind, arguments):
            await channel.declare_exchange(name, kind, durable=True, arguments=dict(arguments))
        case Queue(name, arguments):
            await channel.declare_queue(name, durable=True, arguments=dict(arguments))
        case Binding(source, key, destination, True):
            await (await channel.get_exchange(destination, ensure=False)).bind(source, key)
        case Binding(source, key, destination):
            await (await channel.get_queue(destination, ensure=False)).bind(source, key)
