"""`/metrics`: puts together what is counted, what is read off the running parts, and what handlers count."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from asya import __version__
from asya_sidecar.decide import Actor
from asya_sidecar.metrics import definitions as known
from asya_sidecar.metrics.outcomes import stop_reason
from asya_sidecar.metrics.recorder import Recorder
from asya_sidecar.metrics.series import Series, series
from asya_sidecar.serve import Answer

if TYPE_CHECKING:
    from asya_sidecar.metrics.exposition import Exposition


class Running(Protocol):
    """What of the loop is read at a scrape."""

    @property
    def received(self) -> int:
        """Deliveries so far."""

    @property
    def held(self) -> int:
        """Deliveries that are unsettled."""

    @property
    def active(self) -> int:
        """Messages in a slot."""

    @property
    def waiting(self) -> int:
        """Messages parked beside the slots."""

    @property
    def slots(self) -> int:
        """Calls that may be under way at once."""

    @property
    def blockers(self) -> frozenset[str]:
        """Why nothing is received, as `Loop.block` was told."""

    @property
    def connected(self) -> bool:
        """Whether the broker is."""


class Page:
    """Serves scrapes; `prometheus_client` is loaded by the first, in a thread so that messages go on meanwhile."""

    def __init__(
        self,
        actor: Actor,
        namespace: str,
        transport: str,
        queue_of: Callable[[str], str],
        recorder: Recorder,
        running: Running,
    ) -> None:
        self._actor, self._namespace, self._transport = actor, namespace, transport
        self._queue_of, self._recorder, self._running = queue_of, recorder, running
        self._exposition: Exposition | None = None

    async def scrape(self, accept: str) -> tuple[bytes, str]:
        """Return the body and its content type."""
        if self._exposition is None:
            await asyncio.to_thread(_load)
            from asya_sidecar.metrics.exposition import Exposition  # noqa: PLC0415  loaded only where it is scraped

            self._exposition = Exposition(
                self.series, (self._actor.name, self._namespace), self._recorder.registries.families
            )
        return self._exposition.write(accept)

    async def route(self, accept: str) -> Answer:
        """Answer `GET /metrics`."""
        body, content_type = await self.scrape(accept)
        return Answer(200, content_type, body)

    def series(self) -> Iterator[Series]:
        """Return every series there is at this moment."""
        yield from series(self._recorder.tally, self._actor, self._transport, self._queue_of)
        yield from self._recorder.handlers.series()
        running, queue, transport = self._running, self._queue_of(self._actor.name), self._transport
        yield known.RECEIVED, (queue, transport), running.received
        yield known.ACTIVE, (), running.active
        yield known.HELD, (), running.held
        yield known.PARKED, (), running.waiting
        yield known.SLOTS, (), running.slots
        yield known.BROKER_CONNECTED, (transport,), float(running.connected)
        reasons = {stop_reason(blocker) for blocker in running.blockers}
        yield known.RUNTIME_CONNECTED, (), float("no_runtime" not in reasons)
        if not running.connected:
            reasons.add("broker_disconnected")
        for reason in known.STOPPED.values["reason"]:
            yield known.STOPPED, (reason,), float(reason in reasons)
        build = (__version__, platform.python_version(), transport, self._actor.role)
        yield known.BUILD_INFO, build, 1.0


def _load() -> None:
    import asya_sidecar.metrics.exposition  # noqa: F401, PLC0415  for the import itself
