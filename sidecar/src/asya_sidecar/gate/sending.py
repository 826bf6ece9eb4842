"""One publication on its way through the gates of its destinations."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from asya.errors import NoDestinationError, RefusedError
from asya.policy.breaker import Ticket
from asya_sidecar.gate.circuit import Circuit
from asya_sidecar.gate.limiter import Limiter


class Guards(NamedTuple):
    """What stands before one destination."""

    circuit: Circuit | None
    limiter: Limiter | None


class Reserved(NamedTuple):
    """A place at a circuit that was taken before the call, for what comes of it."""

    circuit: Circuit
    ticket: Ticket


class Sending:
    """Messages for guarded destinations: `ready`, or `wait`; then published; then `done`."""

    def __init__(self, names: Sequence[str], guards: Mapping[str, Guards], reserved: Reserved | None) -> None:
        self._names, self._guards, self._reserved = names, guards, reserved
        self._passed = 0
        self._tickets: list[tuple[str, Circuit, Ticket]] = []
        self.ready = all(self._pass_at_once(name) for name in names)
        """Whether it may be published now."""

    async def wait(self) -> None:
        """Wait until it may be published."""
        try:
            while self._passed < len(self._names):
                await self._pass(self._names[self._passed])
        except BaseException:
            self._end(None)
            raise

    def done(self, future: asyncio.Future[None]) -> None:
        """Take note of what the broker said."""
        self._end(asyncio.CancelledError() if future.cancelled() else future.exception(), published=True)

    def ended(self, error: BaseException | None) -> None:
        """The same, for whoever has no future; None: it was published."""
        self._end(error, published=True)

    def _pass_at_once(self, name: str) -> bool:
        circuit, limiter = self._guards[name]
        ticket = self._reservation(circuit)
        if circuit is not None and ticket is None:
            ticket = circuit.try_begin()
            if ticket is None:
                return False
        if limiter is not None and not limiter.try_take():
            if circuit is not None and ticket is not None:
                self._hand_back(circuit, ticket)
            return False
        self._note(name, circuit, ticket)
        return True

    async def _pass(self, name: str) -> None:
        circuit, limiter = self._guards[name]
        ticket = self._reservation(circuit)
        if circuit is not None and ticket is None:
            ticket = await circuit.waiting.join()
        try:
            if limiter is not None:
                await limiter.take()
        except BaseException:
            if circuit is not None and ticket is not None:
                self._hand_back(circuit, ticket)
            raise
        if circuit is not None and (ticket is None or not circuit.stands(ticket)):
            return  # it has opened while we waited for a token: begin again
        self._note(name, circuit, ticket)

    def _reservation(self, circuit: Circuit | None) -> Ticket | None:
        reserved = self._reserved
        if circuit is None or reserved is None or reserved.circuit is not circuit:
            return None
        return reserved.ticket if circuit.stands(reserved.ticket) else None

    def _hand_back(self, circuit: Circuit, ticket: Ticket) -> None:
        if self._reserved is None or self._reserved.ticket is not ticket:
            circuit.end(ticket, failed=None)

    def _note(self, name: str, circuit: Circuit | None, ticket: Ticket | None) -> None:
        self._passed += 1
        if circuit is not None and ticket is not None:
            self._tickets.append((name, circuit, ticket))

    def _end(self, error: BaseException | None, *, published: bool = False) -> None:
        for name, circuit, ticket in self._tickets:
            if not published:
                self._hand_back(circuit, ticket)
            elif error is None:
                circuit.end(ticket, failed=False)
            else:
                theirs = isinstance(error, (NoDestinationError, RefusedError)) and error.actor == name
                circuit.end(ticket, failed=True if theirs else None, why=str(error))
        self._tickets.clear()
