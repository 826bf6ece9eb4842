"""Dead letters that can be read without being taken out: nothing is hidden from anybody, who settles first has it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from asya.errors import LeaseLostError, TooLargeError
from asya.transports.base import DeadLetter, Limits

Page = Callable[[DeadLetter | None], Awaitable[Sequence[DeadLetter]]]
"""Returns the oldest that come after that one, or from the first on: as many as suit the broker, none at the end."""
Take = Callable[[DeadLetter, bytes | None, bool], Awaitable[bool]]
"""Takes one out, and publishes it (or the bytes instead of its own) in the same step if the last word says so; returns
whether it was there."""


class ListedDeadLetters:
    """An actor's dead letters; see `base.DeadLetters` for what is asked of them."""

    def __init__(self, actor: str, limits: Limits, page: Page, take: Take) -> None:
        self._actor, self._limits, self._page, self._take = actor, limits, page, take

    async def browse(self) -> AsyncIterator[DeadLetter]:
        """See `DeadLetters.browse`."""
        page = await self._page(None)
        while page:
            for letter in page:
                yield letter
            page = await self._page(page[-1])

    async def redrive(self, letter: DeadLetter, body: bytes | None = None) -> None:
        """See `DeadLetters.redrive`."""
        if body is not None and len(body) > self._limits.message_bytes:
            raise TooLargeError(actor=self._actor, size=len(body), limit=self._limits.message_bytes)
        await self._settle(letter, body, True)

    async def drop(self, letter: DeadLetter) -> None:
        """See `DeadLetters.drop`."""
        await self._settle(letter, None, False)

    async def _settle(self, letter: DeadLetter, body: bytes | None, publish: bool) -> None:  # noqa: FBT001  as `Take`
        if not await self._take(letter, body, publish):
            raise LeaseLostError("it was redriven or dropped by somebody else")
