"""One message's pass through the actor: the record that everything about it is written into."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from asya.transports import Delivery, Outgoing
from asya.wire import Envelope, Route
from asya_sidecar.decide import Decision, Outcome, Result

if TYPE_CHECKING:
    from asya_sidecar.events import Receiver
    from asya_sidecar.link import Call

_UNREAD = Envelope(id="", route=Route(curr=""), payload=b"")  # type: ignore[arg-type]  # never encoded


class Way(Protocol):
    """Who takes a hop further when something has happened to it."""

    def chunk(self, hop: Hop, index: int, result: Result) -> None:
        """Result `index` (1-based) of the running call is there."""

    def fly(self, hop: Hop, event: bytes) -> None:
        """The handler tells whoever watches."""

    def held_up(self, hop: Hop) -> None:
        """A result of it could not be published at once and is being tried again."""

    def answered(self, hop: Hop, outcome: Outcome) -> None:
        """The call is over."""

    def carried(self, hop: Hop, future: asyncio.Future[None]) -> None:
        """What was decided is carried out, or has failed."""


class Results(Protocol):
    """The results of the running call that are sent on as they come."""

    children: dict[str, None]
    undeliverable: bool
    pending_bytes: int
    """How much is on its way to the broker."""

    @property
    def waits(self) -> bool:
        """Whether one could not be published at once and is being tried again."""

    def chunk(self, index: int, result: Result) -> None:
        """Publish result `index`."""

    async def flush(self) -> None:
        """Wait until all that was published is confirmed."""

    def abandon(self) -> None:
        """Try nothing again."""


class Hop:
    """What is known of one message's pass so far; also the listener of its call.

    Times are seconds of `time.perf_counter`, 0.0 for a step that was not reached: `received` (the broker's delivery
    came), `begun` (a slot took it), `called`, `answered` (the handler's call), `concluded` (decided), `settled`.
    `began_at` is the Unix time of `begun`.
    """

    __slots__ = (
        "answered",
        "began_at",
        "begun",
        "call",
        "called",
        "carrying",
        "children",
        "concluded",
        "decision",
        "delivery",
        "envelope",
        "gate",
        "messages",
        "notes",
        "outcome",
        "parked",
        "received",
        "receiver",
        "settled",
        "stopped",
        "stream",
        "trace",
        "way",
        "weight",
    )

    def __init__(self, way: Way, delivery: Delivery, received: float) -> None:
        self.way, self.delivery, self.received = way, delivery, received
        self.envelope = _UNREAD
        """As it came; nobody changes it."""
        self.outcome: Outcome | None = None
        self.decision: Decision | None = None
        """None until decided, and for a message that an error of our own puts aside."""
        self.children: tuple[str, ...] = ()
        self.messages: Sequence[Outgoing] = ()
        """What is published together with the settlement; results of a running call are not among them."""
        self.notes = b""
        """What the handler noted, as it came (`notes.read`)."""
        self.begun = self.called = self.answered = self.concluded = self.settled = 0.0
        self.began_at = 0.0
        self.receiver: Receiver | None = None
        self.call: Call | None = None
        self.stream: Results | None = None
        self.carrying: asyncio.Future[None] | None = None
        self.gate: Any = None
        """The gate's own."""
        self.parked = False
        """It waits beside the slots."""
        self.weight = 0
        """Bytes that it holds there."""
        self.stopped = False
        """It was given up at the end of a drain and is released; nothing more may come of it."""
        self.trace: Any = None
        """The tracer's own."""

    # -- Listener of its call

    def chunk(self, index: int, result: Result) -> None:
        """See `link.Listener.chunk`."""
        self.way.chunk(self, index, result)

    def fly(self, event: bytes) -> None:
        """See `link.Listener.fly`."""
        self.way.fly(self, event)

    def noted(self, body: bytes) -> None:
        """See `link.Listener.noted`."""
        self.notes = body

    def ended(self, outcome: Outcome) -> None:
        """See `link.Listener.ended`."""
        self.way.answered(self, outcome)

    def carried(self, future: asyncio.Future[None]) -> None:
        """Go on when the carrier is done."""
        self.way.carried(self, future)
