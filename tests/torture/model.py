"""What a row of the matrix is, and what comes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tests.torture.scene import Scene

SQLITE, RABBITMQ, SQS, PUBSUB = "sqlite", "rabbitmq", "sqs", "pubsub"
TRANSPORTS: Final = (SQLITE, RABBITMQ, SQS, PUBSUB)
CLOUDS: Final = (SQS, PUBSUB)
FAST, AIO_PIKA = "fast", "aio-pika"
PULL, STREAM = "pull", "stream"
ENGINES: Final[Mapping[str, tuple[str, ...]]] = {RABBITMQ: (FAST, AIO_PIKA), PUBSUB: (PULL, STREAM)}
"""What a transport can be spoken to by, where there are two: clients of RabbitMQ, ways of receiving from Pub/Sub."""


def engines(transport: str) -> tuple[str | None, ...]:
    """By what a transport is spoken to; None where there is one way only."""
    return ENGINES.get(transport, (None,))


def places() -> list[tuple[str, str | None]]:
    """All transports with all they are spoken to by, in the order of the page of guarantees."""
    return [(transport, engine) for transport in TRANSPORTS for engine in engines(transport)]


class UnavailableError(Exception):
    """The machine does not let this row's failure be made; the text says why."""


class NotInstalledError(UnavailableError):
    """What the row needs cannot be installed by everybody, CI included."""


@dataclass(frozen=True)
class Ends:
    """What a row may cost at most.

    `duplicates`: copies of messages beyond the first, at the ends of their ways. `calls`: calls of a handler beyond
    one for each message and actor; None where the row's messages are called again on purpose.
    """

    duplicates: int = 0
    calls: int | None = 0
    note: str = ""

    def allowing(self, doubts: int) -> Ends:
        """The same with so many messages more that came to an end, or went through both actors, once more."""
        if not doubts:
            return self
        said = f"{doubts} more because an answer or a lease's extension came too late"
        calls = None if self.calls is None else self.calls + doubts * 2
        return Ends(self.duplicates + doubts, calls, "; ".join(filter(None, (self.note, said))))


Story = Callable[["Scene"], Awaitable[Ends]]


@dataclass(frozen=True)
class Row:
    """One failure: `what` happens, in words for the page of guarantees; the rows of the truth table that it meets.

    `absent`: by transport, why this failure cannot be had there; `not_by`: the same by engine. `instead`: by transport,
    what is done there in its place. `long_only`: transports on which it is not among what CI runs, because another row
    stands for it. `second_in_ci`: transports on which CI runs it by their second engine too.
    """

    name: str
    what: str
    story: Story
    ids: tuple[str, ...]
    absent: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict)
    long_only: tuple[str, ...] = ()
    second_in_ci: tuple[str, ...] = ()
    not_by: Mapping[str, str] = field(default_factory=dict)

    @property
    def transports(self) -> tuple[str, ...]:
        """Where it runs."""
        return tuple(each for each in TRANSPORTS if each not in self.absent)

    def why_not(self, transport: str, engine: str | None) -> str:
        """Why it does not run there; nothing when it does."""
        return self.absent.get(transport) or self.not_by.get(engine or "", "")


@dataclass(frozen=True)
class Message:
    """One message and where it has to be in the end: an actor's queue, ``dlq:<actor>``, or None for nowhere."""

    id: str
    body: bytes = b""
    place: str | None = "x-sink"
    phase: str | None = "succeeded"
    reason: str | None = None
    or_place: str | None = None
    """Another place that is right too, with whatever status."""
    sent: bool = True
    """False for what only comes of another message."""


@dataclass
class Result:
    """One row on one transport, as it is written to results.json."""

    row: str
    what: str
    transport: str
    engine: str | None
    row_ids: tuple[str, ...] = ()
    sent: int = 0
    delivered: int = 0
    duplicated: int = 0
    lost: int = 0
    bound: int = 0
    called_twice: int = 0
    call_bound: int | None = 0
    failures: int = 0
    broker_state: dict[str, dict[str, int | None]] = field(default_factory=dict)
    seconds: float = 0.0
    ok: bool = False
    skipped: bool = False
    absent: str = ""
    """Why this row cannot be had on this transport; then nothing else is told."""
    note: str = ""
    problems: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)
