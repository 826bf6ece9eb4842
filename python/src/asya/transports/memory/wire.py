"""What lies between a transport and the in-memory broker: nothing at all, or whatever a simulation puts there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from asya.errors import TransportError

Work = Callable[[], None]


class Wire(Protocol):
    """Carries work in both directions. One that is broken fails requests with `ConnectionLostError`, drops the rest."""

    def request(self, work: Work) -> asyncio.Future[None]:
        """Have the broker do `work`; the future ends as it did, once the answer is here."""

    def tell(self, work: Work) -> None:
        """Have the broker do `work`; there is no answer."""

    def hand_out(self, work: Work) -> None:
        """Do `work` on the transport's side, asked by the broker."""


class DirectWire:
    """Both ends are in the same place: everything happens at once."""

    def request(self, work: Work) -> asyncio.Future[None]:
        """Do it now."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            work()
        except TransportError as error:
            future.set_exception(error)
        else:
            future.set_result(None)
        return future

    def tell(self, work: Work) -> None:
        """Do it now."""
        work()

    def hand_out(self, work: Work) -> None:
        """Do it now."""
        work()
