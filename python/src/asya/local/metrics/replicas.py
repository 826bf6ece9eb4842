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

_LOOK_SECONDS, _ANSWER_SECONDS = 2.0, 10.0
_TEXT = {"Accept": "text/plain;version=0.0.4"}


class Replicas:
    """The metrics of all replicas of `pools`, those that are gone included."""

    def __init__(self, pools: Mapping[str, Pool], namespace: str, http: httpx.AsyncClient) -> None:
        self._pools, self._http = pools, http
        self._merged = Merged(namespace)
        self.failures: Counter[Place] = Counter()
        """How often a running sidecar did not answer."""
        self._asking: dict[Replica, asyncio.Task[None]] = {}

    @property
    def draining(self) -> bool:
        """Whether some replica will be gone soon."""
        return any(replica.draining for pool in self._pools.values() for replica in pool.replicas)

    async def look(self, *, last: bool = False) -> None:
        """Ask all of them at once; who has not answered after two seconds keeps the numbers it had until it does.

        The first answer of a sidecar takes long on a busy machine, and asking again would make it longer. With `last`,
        an answer that is on its way already is not enough: it may have been written before the last message was.
        """
        if last and self._asking:
            await asyncio.wait(list(self._asking.values()), timeout=_LOOK_SECONDS)
        for replica in self._all():
            if replica.sidecar_pid is not None and replica not in self._asking:
                task = asyncio.create_task(self._ask(replica, replica.sidecar_pid), name=f"ask {_place(replica)}")
                self._asking[replica] = task
                task.add_done_callback(lambda _, replica=replica: self._asking.pop(replica))  # type: ignore[misc]
        if self._asking:
            await asyncio.wait(list(self._asking.values()), timeout=_LOOK_SECONDS)
        self._merged.keep_only({_place(replica): pid for replica in self._all() if (pid := replica.sidecar_pid)})

    async def stop(self) -> None:
        """Ask nobody any more."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

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
