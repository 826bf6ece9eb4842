"""The framework's side: what wakes a round, and the webhook. Nothing is decided here.

Only handlers that store nothing: no finalizer and no annotation of the framework comes onto an actor.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from typing import Any

import kopf

from asya.errors import AsyaError
from asya.operator.admission import Cluster, admit
from asya.operator.identity import INJECT
from asya.operator.injection import InjectionRefusedError
from asya.operator.rounds import Rounds

QUIET_SECONDS = 1.0
"""So long a round waits for more changes, which come in bursts."""
PAUSE_SECONDS = 5.0
"""Least time between two rounds."""
RETRY_SECONDS = 5.0
SOON_SECONDS = 5.0
"""When a round with Pods amiss is followed by the next; then twice as long, up to the usual time."""
THOROUGH_SECONDS = 600.0
"""How often a round applies what is unchanged, too."""

log = logging.getLogger("asya.operator")


class Worker:
    """Does rounds: soon after a change, and every `resync_seconds` without one."""

    def __init__(self, rounds: Rounds, *, resync_seconds: float, now: Callable[[], float] = time.time) -> None:
        self._rounds, self._resync, self._now = rounds, resync_seconds, now
        self._next = resync_seconds
        self._changed = asyncio.Event()
        self.last_round: float | None = None
        """When the last round went well, in seconds since the epoch."""

    def wake(self) -> None:
        """Tell it that an actor has changed."""
        self._changed.set()

    async def run(self) -> None:
        """Do rounds until cancelled."""
        swept = thorough = -math.inf
        while True:
            await self._wait()
            self._changed.clear()
            started = time.monotonic()
            try:
                is_thorough = started - thorough >= THOROUGH_SECONDS
                amiss = await asyncio.to_thread(self._rounds.look, thoroughly=is_thorough)
                self._next = min(self._next * 2, self._resync) if amiss else self._resync
                thorough = started if is_thorough else thorough
                self.last_round = self._now()
                if started - swept >= self._resync:
                    swept = started
                    await asyncio.to_thread(self._rounds.sweep)
            except Exception as error:
                unexpected = None if isinstance(error, AsyaError) else error
                log.warning("the round is done again soon: %s", error, exc_info=unexpected)
                await asyncio.sleep(RETRY_SECONDS)
                self._changed.set()
                continue
            await asyncio.sleep(PAUSE_SECONDS)

    async def _wait(self) -> None:
        if self.last_round is None:
            self._next = SOON_SECONDS / 2
            return
        try:
            async with asyncio.timeout(self._next):
                await self._changed.wait()
        except TimeoutError:
            return
        self._next = SOON_SECONDS / 2
        await asyncio.sleep(QUIET_SECONDS)


def register(registry: kopf.OperatorRegistry, worker: Worker) -> None:
    """Put what wakes the worker into `registry`."""
    running: list[asyncio.Task[None]] = []

    @kopf.on.login(registry=registry)
    async def login(**kwargs: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.startup(registry=registry)
    async def start(**_: Any) -> None:  # noqa: ANN401
        running.append(asyncio.create_task(worker.run(), name="rounds"))

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: Any) -> None:  # noqa: ANN401
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    @kopf.on.event("asya.sh", "v1alpha1", "asyncactors", registry=registry)
    async def changed(**_: Any) -> None:  # noqa: ANN401
        worker.wake()

    @kopf.on.probe(id="lastRound", registry=registry)
    async def last_round(**_: Any) -> float | None:  # noqa: ANN401
        return worker.last_round


def register_webhook(registry: kopf.OperatorRegistry, cluster: Cluster) -> None:
    """Put the webhook's handler into `registry`."""

    # The id is the path at which the API server calls.
    @kopf.on.mutate("pods", id="inject", operations=["CREATE"], labels={INJECT: kopf.PRESENT}, registry=registry)
    async def put_in(
        body: kopf.Body,
        namespace: str | None,
        patch: kopf.Patch,
        warnings: list[str],
        **_: Any,  # noqa: ANN401
    ) -> None:
        try:
            injected = await asyncio.to_thread(admit, cluster, namespace or "", dict(body))
        except InjectionRefusedError as error:
            raise kopf.AdmissionError(str(error), code=422) from error
        except AsyaError as error:
            raise kopf.AdmissionError(f"the operator could not look up the actor: {error}", code=503) from error
        patch.meta["labels"] = injected.pod["metadata"]["labels"]
        patch.meta["annotations"] = injected.pod["metadata"]["annotations"]
        for part in ("initContainers", "containers", "volumes"):
            if part in injected.pod["spec"]:
                patch.spec[part] = injected.pod["spec"][part]
        warnings.extend(injected.warnings)
