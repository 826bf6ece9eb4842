"""Look at and clear queues of a RabbitMQ from outside the workers that are measured."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection


class Queues:
    """Counts and deletes queues; an async context manager."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> Self:
        self._connection: AbstractConnection = await aio_pika.connect(self._url)
        self._channel: AbstractChannel = await self._connection.channel()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    async def ready(self, name: str) -> int:
        """Messages that can be delivered now."""
        queue = await self._channel.declare_queue(name, passive=True)
        return queue.declaration_result.message_count or 0

    async def delete(self, *names: str) -> None:
        """Delete queues with all they hold; one that is not there is fine."""
        for name in names:
            await self._channel.queue_delete(name)
