"""The gate of one actor: before its calls, and before what it publishes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from asya.policy import CircuitState, Protection
from asya.policy.breaker import Ticket
from asya.transports import Outgoing
from asya_sidecar.decide import Actor, Ended, Failed, Outcome
from asya_sidecar.gate.circuit import Circuit
from asya_sidecar.gate.limiter import Limiter
from asya_sidecar.gate.sending import Guards, Reserved, Sending

if TYPE_CHECKING:
    from asya_sidecar.hop import Hop
    from asya_sidecar.observe import Observer


class Pass:
    """What a message has been given on its way to its call."""

    __slots__ = ("reserved", "ticket", "token")

    def __init__(self) -> None:
        self.reserved: Reserved | None = None
        self.token = False
        self.ticket: Ticket | None = None


class Gate:
    """Says when a message may be called and when a result may be published.

    `on_change` is called whenever another number of messages may be received; `on_circuit` when the actor's own circuit
    has another state. Both are the loop's.
    """

    def __init__(self, actor: Actor, observer: Observer | None) -> None:
        self._actor, self._observer = actor, observer
        own = self._guards("the actor", actor.name, actor.resiliency.protection, self._own_state)
        self._circuit, self._limiter = own
        self._destinations = {
            name: self._guards(f"destination {name}", name, protection, lambda _state: None)
            for name, protection in actor.resiliency.destinations.items()
        }
        self.on_change: Callable[[], None] = lambda: None
        self.on_circuit: Callable[[CircuitState], None] = lambda _state: None
        self.is_stopping: Callable[[], bool] = lambda: False
        """Whether nothing new is begun any more; the loop's too."""

    # -- what is received

    def credit(self, most: int, working: int) -> int:
        """Return how many messages may be held: `most` at all, `working` of which are past this gate.

        0 when there is no room for another: what is worked on is not counted then, for each settlement would bring one.
        """
        room = most
        if self._circuit is not None and self._circuit.permits is not None:
            room = min(room, self._circuit.permits)
        if self._limiter is not None:
            room = min(room, self._limiter.room)
        return min(most, working + room) if room else 0

    @property
    def waiting(self) -> int:
        """How many messages wait in a slot for their call to be allowed."""
        lines = (guard.waiting for guard in (self._circuit, self._limiter) if guard is not None)
        return sum(map(len, lines))

    @property
    def notices(self) -> list[str]:
        """What people should know: circuits that are not closed."""
        circuits = (self._circuit, *(guards.circuit for guards in self._destinations.values()))
        return [circuit.notice for circuit in circuits if circuit is not None and circuit.notice]

    # -- the call

    def admits(self, hop: Hop) -> bool:
        """Tell whether the handler may be called now; if so, that counts as begun."""
        held = self._pass(hop)
        if not self.reserves(hop):
            return False
        if self._limiter is not None and not held.token:
            held.token = self._limiter.try_take()
            if not held.token:
                return False
        if self._circuit is not None and (held.ticket is None or not self._circuit.stands(held.ticket)):
            held.ticket = self._circuit.try_begin()
            if held.ticket is None:
                return False
        if self._circuit is not None or self._limiter is not None:
            self.on_change()
        return True

    def reserves(self, hop: Hop) -> bool:
        """Tell whether what comes of the message can be published, as far as its route says where that is."""
        circuit, held = self._next(hop), self._pass(hop)
        if circuit is None or (held.reserved is not None and circuit.stands(held.reserved.ticket)):
            return True
        ticket = circuit.try_begin()
        held.reserved = None if ticket is None else Reserved(circuit, ticket)
        return ticket is not None

    async def reserve(self, hop: Hop) -> bool:
        """Wait until `reserves` would be true; False when the wait is in vain."""
        circuit = self._next(hop)
        if self.is_stopping():
            return False
        if circuit is not None:
            ticket = await circuit.waiting.join()
            if ticket is None:
                return False
            self._pass(hop).reserved = Reserved(circuit, ticket)
        return True

    async def enter(self, hop: Hop) -> bool:
        """Wait until `admits` would be true, `reserves` aside; False when the message is to be given back unstarted."""
        held = self._pass(hop)
        if self.is_stopping() or (self._circuit is not None and self._circuit.state == "open"):
            return False
        if self._limiter is not None and not held.token:
            held.token = await self._limiter.take()
            if not held.token:
                return False
        if self._circuit is not None and (held.ticket is None or not self._circuit.stands(held.ticket)):
            if self._circuit.state == "open":
                return False
            held.ticket = await self._circuit.waiting.join()
            return held.ticket is not None
        return True

    def answered(self, hop: Hop, outcome: Outcome) -> None:
        """Take note of how the call ended."""
        held: Pass | None = hop.gate
        if self._circuit is None or held is None or held.ticket is None:
            return
        ticket, held.ticket = held.ticket, None
        if isinstance(outcome, Failed):
            failure = outcome.failure
            failed = True if self._actor.resiliency.trips(failure) else None
            self._circuit.end(ticket, failed=failed, why=f"{failure.type}: {failure.message[:200]}")
        else:
            self._circuit.end(ticket, failed=False if isinstance(outcome, Ended) else None)

    def left(self, hop: Hop) -> None:
        """Take back what a message that is gone has not used."""
        held: Pass | None = hop.gate
        hop.gate = None
        if held is None:
            return
        if held.reserved is not None:
            held.reserved.circuit.end(held.reserved.ticket, failed=None)
        if held.ticket is not None and self._circuit is not None:
            self._circuit.end(held.ticket, failed=None)

    def send_away(self) -> None:
        """Have all messages given back that wait for their call."""
        for guard in (self._circuit, self._limiter, *(guards.circuit for guards in self._destinations.values())):
            if guard is not None:
                guard.waiting.send_away()

    # -- publishing

    def sending(self, hop: Hop | None, messages: Iterable[Outgoing]) -> Sending | None:
        """Return how these messages get through the gates of their destinations; None where none has one.

        `hop` is the message that they come of, for what was reserved before its call.
        """
        names = [message.actor for message in messages if message.actor in self._destinations]
        if not names:
            return None
        held: Pass | None = None if hop is None else hop.gate
        return Sending(names, self._destinations, None if held is None else held.reserved)

    # -- inside

    def _pass(self, hop: Hop) -> Pass:
        held: Pass | None = hop.gate
        if held is None:
            held = hop.gate = Pass()
        return held

    def _next(self, hop: Hop) -> Circuit | None:
        following = hop.envelope.route.next
        guards = self._destinations.get(following[0]) if following else None
        return None if guards is None else guards.circuit

    def _own_state(self, state: CircuitState) -> None:
        if state == "open" and self._circuit is not None:
            self._circuit.waiting.send_away()
            if self._limiter is not None:
                self._limiter.waiting.send_away()
        self.on_circuit(state)

    def _guards(self, what: str, name: str, protection: Protection, on_state: Callable[[CircuitState], None]) -> Guards:
        limit, breaker = protection.rate_limit, protection.circuit_breaker

        def changed(state: CircuitState) -> None:
            if self._observer is not None:
                self._observer.circuit(name, state)
            on_state(state)

        if breaker is not None and self._observer is not None:
            self._observer.circuit(name, "closed")
        return Guards(
            circuit=None if breaker is None else Circuit(breaker, what, changed),
            limiter=None if limit is None else Limiter(limit, partial(self._limited, name), lambda: self.on_change()),  # noqa: PLW0108  it is set later
        )

    def _limited(self, name: str, seconds: float) -> None:
        if self._observer is not None:
            self._observer.limited(seconds, name)
