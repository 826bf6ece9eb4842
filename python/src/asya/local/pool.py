"""The replicas of one actor: as many as the autoscaler wants, idle ones going first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from asya.local.autoscale import History, backlog_of, desired
from asya.local.plan import ActorPlan
from asya.local.replica import Replica
from asya.transports import Depth

_NOTHING = Depth(ready=0, in_flight=0, delayed=0, dead=0)


class Pool:
    """All replicas of one actor. `start_replica` makes the one with the given number; `on_gone` hears of an end."""

    def __init__(
        self, plan: ActorPlan, start_replica: Callable[[int], Replica], on_gone: Callable[[], None], *, now: float
    ) -> None:
        self.plan = plan
        self.desired = 0
        self.depth = _NOTHING
        self._start_replica, self._on_gone = start_replica, on_gone
        self._history = History(started_at=now)
        self._replicas: dict[int, Replica] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def replicas(self) -> list[Replica]:
        """Every replica with processes, those that are draining included."""
        return list(self._replicas.values())

    @property
    def live(self) -> list[Replica]:
        """Replicas that were not asked to stop."""
        return [replica for replica in self._replicas.values() if not replica.draining]

    @property
    def backlog(self) -> int:
        """Messages that count for the autoscaler."""
        depth = self.depth
        return backlog_of(
            self.plan.scaling, ready=depth.ready, in_flight=depth.in_flight or 0, delayed=depth.delayed or 0
        )

    @property
    def waiting(self) -> int:
        """Messages in the queue, whatever their state; dead letters do not count."""
        return self.depth.ready + (self.depth.in_flight or 0) + (self.depth.delayed or 0)

    @property
    def reason(self) -> str:
        """Why a replica is not ready, in words; empty when there is nothing to tell."""
        return next((replica.reason for replica in self.live if replica.failing), "")

    @property
    def notice(self) -> str:
        """What people should know of a replica that works, in words: a circuit that is open; mostly empty."""
        return next((replica.notice for replica in self.live if replica.notice), "")

    @property
    def failing(self) -> bool:
        """Whether no replica works, for a reason that time alone does not heal."""
        return bool(self.live) and all(replica.failing for replica in self.live)

    def record(self) -> dict[str, Any]:
        """Return the actor as ``GET /api/v1/actors`` and the status file show it."""
        scaling, depth = self.plan.scaling, self.depth
        return {
            "name": self.plan.name,
            "handler": self.plan.handler,
            "replicas": len(self._replicas),
            "desired": self.desired,
            "ready": sum(replica.ready for replica in self.live),
            "min": scaling.min_replicas if scaling.fixed is None else scaling.fixed,
            "max": scaling.max_replicas if scaling.fixed is None else scaling.fixed,
            "depth": {
                "ready": depth.ready,
                "in_flight": depth.in_flight,
                "delayed": depth.delayed,
                "dead": depth.dead,
            },
            "reason": self.reason or self.notice,
        }

    def look(self, depth: Depth, *, now: float) -> int:
        """Take note of the queue; return how many replicas too many (positive) or too few (negative) there are."""
        self.depth = depth
        decision = desired(self.plan.scaling, self._history, backlog=self.backlog, current=len(self.live), now=now)
        self._history, self.desired = decision.history, decision.replicas
        return len(self.live) - self.desired

    def grow(self, count: int) -> None:
        """Start `count` replicas, with the lowest numbers that are free."""
        for _ in range(count):
            number = next(free for free in range(len(self._replicas) + 1) if free not in self._replicas)
            self._replicas[number] = self._start_replica(number)

    def shrink(self, count: int, *, busy: Collection[int] = ()) -> None:
        """Let `count` replicas drain: first those not ready, then idle ones (no pid in `busy`), newest first."""
        order = sorted(self.live, key=lambda replica: (replica.ready, replica.sidecar_pid in busy, -replica.number))
        for replica in order[:count]:
            replica.draining = True
            task = asyncio.create_task(self._end(replica), name=f"drain {self.plan.name}/{replica.number}")
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def drain(self) -> None:
        """Let all replicas finish what runs and stop."""
        self.desired = 0
        self.shrink(len(self.live))
        if self._ending:
            await asyncio.wait(self._ending)

    async def kill(self) -> None:
        """End all processes now."""
        await asyncio.gather(*(replica.kill() for replica in self.replicas))
        self._replicas.clear()

    async def _end(self, replica: Replica) -> None:
        await replica.drain()
        self._replicas.pop(replica.number, None)
        self._on_gone()
