"""Looks at queues and carries out what the autoscaler decides. Actors looked at equally often share one question."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from asya.errors import TransportError
from asya.local import views
from asya.local.console import Console
from asya.local.pool import Pool
from asya.local.tally import Tally
from asya.local.writer import TaskStore
from asya.transports import Transport


class Scaler:
    """Scales pools by their backlog; `on_look` hears of every look, whether or not it changed anything."""

    def __init__(
        self, transport: Transport, store: TaskStore, console: Console, tally: Tally, on_look: Callable[[], None]
    ) -> None:
        self._transport, self._store = transport, store
        self._console, self._tally, self._on_look = console, tally, on_look

    def loops(self, pools: Iterable[Pool]) -> dict[str, Coroutine[Any, Any, None]]:
        """Return what has to run, by name: one loop for each polling interval there is.

        One question and one record of the answer for fifty idle actors, instead of fifty of each.
        """
        by_interval: dict[float, list[Pool]] = defaultdict(list)
        for pool in pools:
            by_interval[pool.plan.scaling.polling_interval].append(pool)
        return {
            f"scale every {interval:g} s": self._keep_looking(interval, members)
            for interval, members in by_interval.items()
        }

    async def _keep_looking(self, interval: float, pools: Sequence[Pool]) -> None:
        names = [pool.plan.name for pool in pools]
        while True:
            try:
                depths = await self._transport.depth(names)
            except TransportError as error:
                # As KEDA without a fallback: while queues cannot be read the number of replicas stays.
                whose = ", ".join(names)
                self._console.event("depth", f"the queues of {whose} cannot be read: {error}", level="warning")
            else:
                now = time.monotonic()
                for pool in pools:
                    if (depth := depths.get(pool.plan.name)) is not None:
                        await self._adjust(pool, pool.look(depth, now=now))
                self._on_look()
            await asyncio.sleep(interval)

    async def _adjust(self, pool: Pool, surplus: int) -> None:
        if surplus == 0:
            return
        before = len(pool.live)
        name = pool.plan.name
        if surplus > 0:
            busy = await self._store.read(lambda db: views.busy_sidecars(db, name))
            pool.shrink(surplus, busy=busy)
        else:
            pool.grow(-surplus)
        self._tally.scalings.update([(name, "down" if surplus > 0 else "up")])
        text = f"{name}: {before} → {pool.desired} replicas (backlog {pool.backlog})"
        self._console.event(
            "scaled", text, actor=name, replicas_before=before, replicas=pool.desired, backlog=pool.backlog
        )
