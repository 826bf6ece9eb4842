"""Publishing through closed channels, and what waits for its turn."""

from __future__ import annotations

import asyncio
from collections import deque

from asya.errors import ConnectionLostError, RefusedError, TransportError
from asya.transports.rabbitmq import refusals
from asya.transports.rabbitmq.engine import OnPublished, Publication
from asya.transports.rabbitmq.fast.confirms import Confirms, tell
from asya.transports.rabbitmq.fast.connection import Connection
from asya.transports.rabbitmq.fast.errors import ClosedError


class Publisher:
    """Publishes on one connection. A message that takes its channel with it costs only those that were on their way."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel: Confirms | None = None
        self._opening: asyncio.Task[None] | None = None
        self._waiting: deque[tuple[Publication, OnPublished]] = deque()
        self._blocked: str | None = None
        self._moving = False
        connection.on_resumed = self._move

    def publish(self, publication: Publication, on_published: OnPublished) -> None:
        """See `engine.Engine.publish`."""
        channel = self._channel
        if self._blocked is not None:
            on_published(RefusedError(f"the broker takes no messages: {self._blocked}"))
        elif not self._waiting and channel is not None and channel.alive and channel.has_room(len(publication.body)):
            channel.send(publication, on_published)
        else:
            self._waiting.append((publication, on_published))
            self._move()

    def block(self, reason: str | None) -> None:
        """Take note that the broker takes no messages; what it has not got yet is refused."""
        self._blocked = reason
        if reason is not None:
            self._fail(RefusedError(f"the broker takes no messages: {reason}"))

    def end(self, error: TransportError) -> None:
        """Tell all that wait that the connection has ended."""
        self._fail(error)

    def _move(self) -> None:
        """Send what waits, as far as there is room; open a channel for it if there is none."""
        if not self._waiting or self._moving:
            return
        channel = self._channel
        if channel is None or not channel.alive:
            self._open()
            return
        self._moving = True
        try:
            while self._waiting and channel.has_room(len(self._waiting[0][0].body)):
                channel.send(*self._waiting.popleft())
        finally:
            self._moving = False

    def _open(self) -> None:
        if not self._connection.alive:
            self._fail(ConnectionLostError("the connection was closed"))
        elif self._opening is None or self._opening.done():
            self._opening = asyncio.get_running_loop().create_task(self._open_channel())

    async def _open_channel(self) -> None:
        try:
            channel = Confirms(self._connection, self._move)
            await channel.open()
        except ClosedError as error:
            self._fail(refusals.general(error.code, error.text))
            return
        self._channel, self._opening = channel, None
        self._move()

    def _fail(self, error: TransportError) -> None:
        while self._waiting:
            tell(self._waiting.popleft()[1], error)
