"""``kill -9`` of the runtime, the sidecar and the broker, at each step of a hop."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from functools import partial

from tests.support.mesh import Pod
from tests.support.processes import until
from tests.torture.gone import GONE, gone_and_back
from tests.torture.line import Line
from tests.torture.model import CLOUDS, ENGINES, SQLITE, Ends, Row
from tests.torture.pods import IN_FLIGHT, PATIENCE, SHORT_LEASE
from tests.torture.scene import ACTORS, FIRST, SECOND, Scene

STEPS = {
    "after-receive": "when a message has been received",
    "before-call": "before the function is called",
    "during-call": "while the function runs",
    "after-result": "when the function has returned",
    "after-publish": "when the result has been sent and has not arrived",
    "before-confirm": "when the broker has the result and its confirmation is not read",
    "before-ack": "before the message is acknowledged",
}
WIRE = ("after-publish", "before-confirm", "before-ack")
"""Steps that are seen on the wire, where there is one."""
_IDS = {
    "runtime": ("result", "end-of-route"),
    "sidecar": ("redelivered", "result", "end-of-route"),
    "broker": ("broker-refuses", "redelivered"),
}


async def kill_runtime(scene: Scene, step: str) -> Ends:
    """A worker, then the supervisor with all it has, in turns."""

    async def kill(pod: Pod, turn: itertools.count[int]) -> None:
        if next(turn) % 2:
            await pod.runtime.kill(PATIENCE)
        else:
            await _kill_worker(pod)

    if scene.kind == SQLITE:
        scene.settings |= SHORT_LEASE
    pods, _ = await _pods(scene, lines=_seen_on_the_wire(scene, step))
    for pod in pods:
        scene.control.plan(step, pod.actor, partial(kill, pod, itertools.count()), scene.times)
    await scene.flow()
    # Calls that had begun, or whose answers nobody had read yet, are made once more. Nothing is published twice.
    return Ends(0, scene.control.done * IN_FLIGHT)


async def kill_sidecar(scene: Scene, step: str) -> Ends:
    """The sidecars of both actors."""
    scene.settings |= SHORT_LEASE
    pods, _ = await _pods(scene, lines=_seen_on_the_wire(scene, step))
    for pod in pods:
        scene.control.plan(step, pod.actor, partial(pod.sidecar.kill, PATIENCE), scene.times, cuts=True)
    await scene.flow()
    return _held_twice(scene, scene.control.done)


async def kill_broker(scene: Scene, step: str) -> Ends:
    """The node; on SQLite, where every process is the broker, all processes at once; of a cloud, its endpoint."""
    scene.settings |= SHORT_LEASE
    pods, lines = await _pods(scene, lines=_seen_on_the_wire(scene, step) or scene.kind in CLOUDS)
    who = FIRST if list(STEPS).index(step) % 2 else SECOND
    if scene.kind in CLOUDS:

        async def go() -> None:
            gone_and_back(scene, lines)

        scene.control.plan(step, who, go, scene.times // 2, cuts=True)
    elif scene.kind == SQLITE:

        async def kill_all() -> None:
            await asyncio.gather(*(process.kill(PATIENCE) for pod in pods for process in pod.processes))

        for pod in pods:
            scene.control.plan(step, pod.actor, kill_all, scene.times)
    else:

        async def kill_node() -> None:
            broker = scene.broker
            await asyncio.gather(*scene.later)  # the last start
            await asyncio.to_thread(broker.kill)
            # Whoever waits at its step goes on while the node comes up.
            scene.soon(asyncio.to_thread(broker.start))

        scene.control.plan(step, who, kill_node, scene.times // 2, cuts=True)
    await scene.flow()
    return _held_twice(scene, scene.control.done * len(pods))


async def _kill_worker(pod: Pod) -> None:
    await until(lambda: pod.runtime.running and bool(pod.workers()), within=PATIENCE, what="a worker")
    os.kill(pod.workers()[0], signal.SIGKILL)


async def _pods(scene: Scene, *, lines: bool) -> tuple[list[Pod], list[Line]]:
    """A pod of each actor; with `lines`, each behind one of its own."""
    await scene.prepare()
    made = [await scene.proxy(actor) for actor in ACTORS] if lines else []
    pods = [scene.pod(actor, proxy=made[index] if lines else None) for index, actor in enumerate(ACTORS)]
    return pods, made


def _seen_on_the_wire(scene: Scene, step: str) -> bool:
    return scene.kind != SQLITE and step in WIRE


def _held_twice(scene: Scene, deaths: int) -> Ends:
    """What a process held when it died comes again: on SQLite to this actor, elsewhere maybe to the next one too."""
    held = deaths * IN_FLIGHT
    return Ends(0, held) if scene.kind == SQLITE else Ends(held, held * len(ACTORS))


_KILLS = {"runtime": kill_runtime, "sidecar": kill_sidecar, "broker": kill_broker}
_ALSO = {("runtime", "during-call"): ("runtime-crashed", "handler-error")}
_SECOND_IN_CI = {("sidecar", "before-confirm"), ("broker", "before-ack")}
_CLOUDS_IN_CI = {
    ("runtime", "during-call"),
    *(("sidecar", step) for step in ("after-receive", *WIRE)),
    *(("broker", step) for step in WIRE),
}
ROWS = [
    Row(
        f"kill-{victim}-{step}",
        f"`kill -9` of the {victim} {when}",
        partial(story, step=step),
        (*_IDS[victim], *_ALSO.get((victim, step), ())),
        instead=GONE if victim == "broker" else {},
        second_in_ci=tuple(ENGINES) if (victim, step) in _SECOND_IN_CI else (),
        long_only=() if (victim, step) in _CLOUDS_IN_CI else CLOUDS,
    )
    for victim, story in _KILLS.items()
    for step, when in STEPS.items()
]
