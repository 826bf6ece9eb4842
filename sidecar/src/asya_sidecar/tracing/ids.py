"""Ids of spans: random, but for the root of a task that nobody traced before."""

from __future__ import annotations

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator


class Ids(RandomIdGenerator):
    """Random ids, or those that `force` gave until `release`. One event loop uses it, so nothing comes between."""

    def __init__(self) -> None:
        self._trace_id = self._span_id = 0

    def force(self, trace_id: int, span_id: int) -> None:
        """Give the next span these ids."""
        self._trace_id, self._span_id = trace_id, span_id

    def release(self) -> None:
        """Be random again."""
        self._trace_id = self._span_id = 0

    def generate_trace_id(self) -> int:
        """See `IdGenerator`."""
        return self._trace_id or super().generate_trace_id()

    def generate_span_id(self) -> int:
        """See `IdGenerator`."""
        return self._span_id or super().generate_span_id()
