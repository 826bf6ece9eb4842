"""Who watches messages pass: the contracts of metrics and of tracing.

Both are told by the loop and never asked; neither may raise, wait, or change what becomes of a message.
"""

from __future__ import annotations

from typing import Protocol

from asya.policy import CircuitState
from asya.transports import Outgoing
from asya.wire import Raw
from asya_sidecar.decide import Send
from asya_sidecar.hop import Hop


class Observer(Protocol):
    """Hears of every message at its end, and of what seldom happens."""

    def passed(self, hop: Hop) -> None:
        """Take note of a message that is settled; everything about it is in `hop`."""

    def published(self, message: Outgoing) -> None:
        """Take note of a result that the broker confirmed while its call still ran."""

    def parked(self, hop: Hop, error: Exception) -> None:
        """Take note of a message that waits beside the slots because of `error`."""

    def released(self, hop: Hop) -> None:
        """Take note of a delivery that was given back."""

    def lease_extended(self) -> None:
        """Take note of a lease that was prolonged."""

    def lease_lost(self) -> None:
        """Take note of a delivery that the broker gave to somebody else."""

    def reconnected(self) -> None:
        """Take note of a connection that was made again."""

    def limited(self, seconds: float, what: str) -> None:
        """Take note of a message that waited for the rate limit of `what`: this actor, or a destination."""

    def circuit(self, what: str, state: CircuitState) -> None:
        """Take note of the new state of a circuit: this actor's, or a destination's."""


class Tracer(Protocol):
    """Makes a hop part of its task's trace. Where tracing is off there is none, and headers pass unchanged."""

    def begin(self, hop: Hop) -> None:
        """Begin the hop's span, a child of what its envelope names; sets `hop.trace`."""

    def headers(self, hop: Hop) -> dict[str, Raw]:
        """Return the envelope's headers as the handler shall see them: with the context of the hop's own span."""

    def stamp(self, hop: Hop, send: Send) -> Send:
        """Return `send` with the context that its receiver continues."""

    def end(self, hop: Hop) -> None:
        """End the hop's spans with what became of it."""
