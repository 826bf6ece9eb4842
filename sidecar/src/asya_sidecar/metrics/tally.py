"""Everything that one actor's sidecar has counted."""

from __future__ import annotations

from asya.policy import CircuitState
from asya_sidecar.metrics import definitions as known
from asya_sidecar.metrics.numbers import Histogram
from asya_sidecar.metrics.outcomes import ROWS


class Destination:
    """What was sent to one actor because of one row."""

    __slots__ = ("count", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = Histogram(known.SEND.buckets)


class Row:
    """How often a row of the truth table came about, and where its messages went."""

    __slots__ = ("count", "destinations")

    def __init__(self) -> None:
        self.count = 0
        self.destinations: dict[str, Destination] = {}


class Tally:
    """The numbers. Written by `recorder.Recorder`, read by `series.series`; keys are values of the one open label."""

    def __init__(self) -> None:
        self.rows = {row: Row() for row in ROWS}
        self.streamed: dict[str, int] = {}
        """Results that were published while their call ran, by actor."""
        self.processing, self.runtime = Histogram(known.PROCESSING.buckets), Histogram(known.RUNTIME.buckets)
        self.receive, self.wait = Histogram(known.RECEIVE.buckets), Histogram(known.QUEUE_WAIT.buckets)
        self.size_in, self.size_out = Histogram(known.SIZE.buckets), Histogram(known.SIZE.buckets)
        self.retry_delay = Histogram(known.RETRY_DELAY.buckets)
        self.end_to_end: dict[str, Histogram] = {}
        self.hops: dict[str, Histogram] = {}
        self.errors: dict[str, int] = {}
        self.retries: dict[str, int] = {}
        self.undelivered: dict[str, int] = {}
        """Messages that went to the sump instead of where they were decided to go, by reason."""
        self.released: dict[str, int] = {}
        self.circuits: dict[str, CircuitState] = {}
        self.opened: dict[str, int] = {}
        self.limited: dict[str, float] = {}
        """Seconds, by target."""
        self.dead_lettered = self.redelivered = self.extended = self.lost = self.reconnected = 0
