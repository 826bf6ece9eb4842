"""Dead letters of the in-memory broker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from asya.transports.base import DeadLetter, Outgoing
from asya.transports.memory.broker import MemoryBroker, MemoryQueue


class MemoryDeadLetters:
    """See `base.DeadLetters`. Nothing is hidden while it is looked at."""

    def __init__(
        self,
        broker: MemoryBroker,
        queue: MemoryQueue,
        actor: str,
        publish: Callable[[Sequence[Outgoing]], Awaitable[None]],
    ) -> None:
        self._broker, self._queue, self._actor, self._publish = broker, queue, actor, publish

    async def browse(self) -> AsyncIterator[DeadLetter]:
        """See `base.DeadLetters.browse`."""
        for message in list(self._queue.dead):
            yield DeadLetter(
                message.body,
                self._actor,
                message,
                reason=message.reason,
                attempts=message.attempts,
                since=message.since,
            )

    async def redrive(self, letter: DeadLetter, body: bytes | None = None) -> None:
        """See `base.DeadLetters.redrive`."""
        self._broker.check_dead(self._queue, letter.token)
        await self._publish([Outgoing(self._actor, letter.body if body is None else body)])
        self._broker.take_dead(self._queue, letter.token)

    async def drop(self, letter: DeadLetter) -> None:
        """See `base.DeadLetters.drop`."""
        self._broker.take_dead(self._queue, letter.token)
