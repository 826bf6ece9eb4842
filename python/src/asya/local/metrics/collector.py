"""Looking at the whole mesh at intervals and on request, and giving what was seen to Prometheus and the live page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

import httpx
from prometheus_client import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from asya.local import views
from asya.local.metrics.live import Live
from asya.local.metrics.own import own_families
from asya.local.metrics.replicas import Replicas
from asya.local.pool import Pool
from asya.local.tally import Tally
from asya.local.writer import TaskStore

STEP_SECONDS = 2.0
LARGEST_SHARE = 0.05
"""Of a core, for looking: with very many replicas the looks come less often."""
_DRAINING_STEP_SECONDS = 0.2
"""While a replica drains: what it counts between the last look and its end is not seen."""
FRESH_SECONDS = 0.5
"""A look this young answers a request; several scrapers cost no more than one."""


class _Snapshot(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


class MeshCollector:
    """Everything there is to know of one mesh, as metric families."""

    def __init__(
        self,
        pools: Mapping[str, Pool],
        *,
        namespace: str,
        transport: str,
        tally: Tally,
        store: TaskStore,
        http: httpx.AsyncClient,
        live: Live,
    ) -> None:
        self._pools, self._namespace, self._transport = pools, namespace, transport
        self._tally, self._store, self._live = tally, store, live
        self._replicas = Replicas(pools, namespace, http)
        self._families: list[Metric] = []
        self._at = -FRESH_SECONDS
        self._looking = asyncio.Lock()
        self.step = STEP_SECONDS
        """Seconds from one look to the next."""

    async def run(self) -> None:
        """Look again and again, so that the page has a past and ended replicas leave their counters."""
        try:
            while True:
                began = time.process_time()
                await self._look()
                self.step = max(STEP_SECONDS, (time.process_time() - began) / LARGEST_SHARE)
                end = time.monotonic() + self.step
                while (left := end - time.monotonic()) > 0:
                    await asyncio.sleep(min(left, _DRAINING_STEP_SECONDS))
                    if self._replicas.draining:
                        await self.look_at_replicas()
        finally:
            await self._replicas.stop()

    async def look_at_replicas(self) -> None:
        """Take note of what replicas have counted, for instance before some of them end; takes four seconds at most."""
        async with self._looking:
            await self._replicas.look(last=True)

    async def exposition(self) -> bytes:
        """Return everything in Prometheus' text format, not older than half a second."""
        if time.monotonic() - self._at > FRESH_SECONDS:
            await self._look()
        return generate_latest(_Snapshot(self._families))

    async def _look(self) -> None:
        async with self._looking:
            await self._replicas.look()
            tasks = await self._store.read(views.count_by_status)
            own = own_families(
                self._pools.values(),
                namespace=self._namespace,
                transport=self._transport,
                tally=self._tally,
                tasks=tasks,
                unread=self._replicas.failures,
            )
            self._families = [*self._replicas.families(), *own]
            self._at = time.monotonic()
            self._live.take(time.time(), self._families)
