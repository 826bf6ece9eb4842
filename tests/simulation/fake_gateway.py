"""Whoever hears of tasks: it answers pre-flight questions, acknowledges final reports, and passes cancels on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from asya.wire import Envelope
from asya_sidecar.events import Report

if TYPE_CHECKING:
    from tests.simulation.pods import Pod
    from tests.simulation.world import World


class FakeGateway:
    """The one gateway of a run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._states: dict[int, str] = {}
        """By message: `canceled` or `paused`."""
        self._reporters: list[FakeReporter] = []
        self.away = False

    def reporter(self, pod: Pod, process_name: str) -> FakeReporter:
        """Make the end that a sidecar talks to."""
        made = FakeReporter(self._world, self, pod, self._world.chance(f"reports/{process_name}"))
        self._reporters.append(made)
        return made

    def state(self, envelope_id: str) -> Any:
        """Say what is known of a task."""
        number = self._world.number_of(envelope_id)
        return self._states.get(number) if number is not None else None

    def say(self, number: int, state: str) -> None:
        """Let a task be canceled or paused from now on; a cancel reaches calls under way."""
        self._states[number] = state
        if state != "canceled":
            return
        for reporter in self._reporters:
            for envelope_id, stop in list(reporter.running.items()):
                if self._world.number_of(envelope_id) == number:
                    reporter.stop(envelope_id, stop)

    def come_back(self, number: int) -> None:
        """A paused task may go on."""
        if self._states.get(number) == "paused":
            del self._states[number]


class FakeReporter:
    """Reporter and receiver in one, for one sidecar's process."""

    def __init__(self, world: World, gateway: FakeGateway, pod: Pod, chance: random.Random) -> None:
        self._world, self._gateway, self._chance = world, gateway, chance
        self.running: dict[str, Callable[[], None]] = {}
        self._process, self._name = pod.process, pod.process.name

    def receiver(self, envelope: Envelope) -> FakeReporter | None:
        value = envelope.headers.get("x-asya-mesh-status")
        return None if value is not None and bytes(value) == b'"off"' else self

    def progress(self, report: Report) -> None:
        """Droppable: dropped."""

    async def final(self, report: Report) -> bool:
        await asyncio.sleep(self._latency())
        while self._gateway.away:
            await asyncio.sleep(0.3)
        if report.status is not None:
            self._world.facts.acknowledged.add((self._name, report.id, report.status))
        self._world.note("gateway", "acknowledges %s of %s", report.status or report.type, report.id)
        await asyncio.sleep(self._latency())
        return True

    async def preflight(self, envelope_id: str) -> Any:
        await asyncio.sleep(self._latency())
        if self._gateway.away:
            return None
        answer = self._gateway.state(envelope_id)
        self._world.facts.preflights.setdefault((self._name, envelope_id), set()).add(answer)
        await asyncio.sleep(self._latency())
        return answer

    def started(self, envelope_id: str, stop: Callable[[], None]) -> None:
        self.running[envelope_id] = stop

    def ended(self, envelope_id: str) -> None:
        self.running.pop(envelope_id, None)

    def stop(self, envelope_id: str, stop: Callable[[], None]) -> None:
        """Tell a running call that its task was canceled."""

        def arrive() -> None:
            if envelope_id in self.running:
                self._world.facts.stopped.add((self._name, envelope_id))
                stop()

        self._world.loop.call_later(self._latency(), arrive, context=self._process.context)

    def _latency(self) -> float:
        return 0.001 + 0.01 * self._chance.random()
