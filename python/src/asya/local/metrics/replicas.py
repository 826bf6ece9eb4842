"""Asking every running sidecar for its metrics."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping

import httpx
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from asya.local.metrics.merged import Merged, Place
from asya.local.pool import Pool
from asya.local.replica import Replica

_ANSWER_SECONDS = 2.0
_TEXT = {"Accept": "text/plain;version=0.0.4"}


class Replicas:
    """The metrics of all replicas of `pools`, those that are gone included."""

    def __init__(self, pools: Mapping[str, Pool], namespace: str, http: httpx.AsyncClient) -> None:
        self._pools, self._http = pools, http
        self._merged = Merged(namespace)
        self.failures: Counter[Place] = Counter()
        """How often a running sidecar did not answer."""

    @property
    def draining(self) -> bool:
        """Whether some replica will be gone soon."""
        return any(replica.draining for pool in self._pools.values() for replica in pool.replicas)

    async def look(self) -> None:
        """Ask all of them at once; who does not answer within two seconds keeps the numbers it had."""
        asked = [(replica, pid) for replica in self._all() if (pid := replica.sidecar_pid) is not None]
        await asyncio.gather(*(self._ask(replica, pid) for replica, pid in asked))
        self._merged.keep_only({_place(replica): pid for replica in self._all() if (pid := replica.sidecar_pid)})

    def families(self) -> Iterable[Metric]:
        """Return what is known."""
        return self._merged.families()

    def _all(self) -> Iterable[Replica]:
        return (replica for pool in self._pools.values() for replica in pool.replicas)

    async def _ask(self, replica: Replica, pid: int) -> None:
        try:
            answer = await self._http.get(replica.metrics_url, headers=_TEXT, timeout=_ANSWER_SECONDS)
            families = list(text_string_to_metric_families(answer.raise_for_status().text))
        except (httpx.HTTPError, ValueError):
            # One that has just started does not listen yet, one that ends no longer.
            if replica.ready and replica.sidecar_pid == pid:
                self.failures[_place(replica)] += 1
            return
        if replica.sidecar_pid in (pid, None):
            self._merged.take(_place(replica), pid, families)


def _place(replica: Replica) -> Place:
    return replica.plan.name, replica.number
