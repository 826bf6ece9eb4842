"""``kill -9`` of the runtime, the sidecar and the broker, at each step of a hop."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from functools import partial

from tests.support.mesh import Pod
from tests.support.processes import until
from tests.torture.model import RABBITMQ, SQLITE, Ends, Row
from tests.torture.pods import IN_FLIGHT, SHORT_LEASE
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
            await pod.runtime.kill()
        else:
            await _kill_worker(pod)

    pods = await _pods(scene, step)
    for pod in pods:
        scene.control.plan(step, pod.actor, partial(kill, pod, itertools.count()), scene.times)
    await scene.flow()
    # Calls that had begun, or whose answers nobody had read yet, are made once more. Nothing is published twice.
    return Ends(0, scene.control.done * IN_FLIGHT)


async def kill_sidecar(scene: Scene, step: str) -> Ends:
    """The sidecars of both actors."""
    pods = await _pods(scene, step)
    for pod in pods:
        scene.control.plan(step, pod.actor, pod.sidecar.kill, scene.times, cuts=True)
    await scene.flow()
    return _held_twice(scene, scene.control.done)


async def kill_broker(scene: Scene, step: str) -> Ends:
    """The node; on SQLite, where every process is the broker, all processes at once."""
    pods = await _pods(scene, step)
    if scene.kind == SQLITE:

        async def kill_all() -> None:
            await asyncio.gather(*(process.kill() for pod in pods for process in pod.processes))

        for pod in pods:
            scene.control.plan(step, pod.actor, kill_all, scene.times)
    else:

        async def kill_node() -> None:
            broker = scene.broker
            await asyncio.gather(*scene.later)  # the last start
            await asyncio.to_thread(broker.kill)
            # Whoever waits at its step goes on while the node comes up.
            scene.soon(asyncio.to_thread(broker.start))

        who = FIRST if list(STEPS).index(step) % 2 else SECOND
        scene.control.plan(step, who, kill_node, scene.times // 2, cuts=True)
    await scene.flow()
    return _held_twice(scene, scene.control.done * len(pods))


async def _kill_worker(pod: Pod) -> None:
    await until(lambda: pod.runtime.running and bool(pod.workers()), within=20, what="a worker")
    os.kill(pod.workers()[0], signal.SIGKILL)


async def _pods(scene: Scene, step: str) -> list[Pod]:
    scene.settings |= SHORT_LEASE
    await scene.prepare()
    proxied = scene.kind == RABBITMQ and step in WIRE
    return [scene.pod(actor, proxy=await scene.proxy(actor) if proxied else None) for actor in ACTORS]


def _held_twice(scene: Scene, deaths: int) -> Ends:
    """What a process held when it died comes again: to RabbitMQ's next actor maybe as well, on SQLite to this one."""
    held = deaths * IN_FLIGHT
    return Ends(0, held) if scene.kind == SQLITE else Ends(held, held * len(ACTORS))


_KILLS = {"runtime": kill_runtime, "sidecar": kill_sidecar, "broker": kill_broker}
_ALSO = {("runtime", "during-call"): ("runtime-crashed", "handler-error")}
_AIO_PIKA = {("sidecar", "before-confirm"), ("broker", "before-ack")}
ROWS = [
    Row(
        f"kill-{victim}-{step}",
        f"`kill -9` of the {victim} {when}",
        partial(story, step=step),
        (*_IDS[victim], *_ALSO.get((victim, step), ())),
        aio_pika_in_ci=(victim, step) in _AIO_PIKA,
    )
    for victim, story in _KILLS.items()
    for step, when in STEPS.items()
]
