"""Dead letters of the embedded queue: read without touching, moved or deleted in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

from asya.errors import TooLargeError
from asya.transports.base import DeadLetter, Limits
from asya.transports.sqlite.reader import Reader
from asya.transports.sqlite.store import DeadKey, Store

T = TypeVar("T")
_PAGE: Final = 100
_BEFORE_ALL: Final = float("-inf")


class _Read(Protocol):
    def __call__(self, look: Callable[[Reader], T]) -> Awaitable[T]:
        """Have the reader look."""


class SqliteDeadLetters:
    """See `base.DeadLetters`. Nothing is hidden while it is looked at; whoever comes second finds a letter gone."""

    def __init__(
        self,
        actor: str,
        queue: str,
        dead: int,
        read: _Read,
        submit: Callable[..., asyncio.Future[Any]],
        limits: Limits,
    ) -> None:
        self._actor, self._queue, self._dead = actor, queue, dead
        self._read, self._submit, self._limits = read, submit, limits

    async def browse(self) -> AsyncIterator[DeadLetter]:
        """See `base.DeadLetters.browse`."""
        after = DeadKey(self._dead, _BEFORE_ALL, 0)
        while True:
            page = await self._page(after)
            for letter in page:
                yield letter
            if len(page) < _PAGE:
                return
            after = page[-1].token

    async def redrive(self, letter: DeadLetter, body: bytes | None = None) -> None:
        """See `base.DeadLetters.redrive`: one transaction."""
        if body is not None and len(body) > self._limits.message_bytes:
            raise TooLargeError(actor=self._actor, size=len(body), limit=self._limits.message_bytes)
        await self._submit(Store.redrive, letter.token, self._actor, self._queue, body)

    async def drop(self, letter: DeadLetter) -> None:
        """See `base.DeadLetters.drop`."""
        await self._submit(Store.discard, letter.token)

    async def _page(self, after: DeadKey) -> list[DeadLetter]:
        return await self._read(lambda reader: reader.dead_letters(self._actor, after, _PAGE))
