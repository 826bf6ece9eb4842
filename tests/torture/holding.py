"""Who takes a message, and what if nobody does: several sidecars, copies, stops, poison, ends that are missing."""

from __future__ import annotations

import asyncio
import signal
from functools import partial

from tests.support.mesh import Pod
from tests.support.processes import until
from tests.torture.model import PUBSUB, RABBITMQ, SQLITE, STREAM, Ends, Row
from tests.torture.pods import PATIENCE, SHORT_LEASE
from tests.torture.scene import ACTORS, FIRST, SECOND, SINK, SUMP, Scene

from asya.transports import Delivery, QueueSpec, Settle

LIMIT = 3
LOWEST_LIMIT = {PUBSUB: 5}
"""Deliveries without settlement; fewer than the default, because each costs a start of a sidecar."""


async def two_sidecars(scene: Scene) -> Ends:
    """Two pods of each actor on one queue: each message goes to one of them."""
    await scene.prepare()
    for actor in ACTORS:
        scene.pod(actor)
        scene.pod(actor)
    await scene.flow()
    for actor in ACTORS:
        workers = {pid for name, _, pid in scene.lines() if name == actor}
        if len(workers) != 2:
            raise AssertionError(f"{len(workers)} pods of {actor} worked, expected both")
    return Ends()


async def duplicate_deliveries(scene: Scene) -> Ends:
    """Each message lies in the queue twice, as after a crash at the worst moment: both copies keep one id."""
    await scene.prepare()
    messages = [scene.add() for _ in range(scene.total)]
    await scene.publish(messages)
    await scene.flow()
    return Ends(scene.total, scene.total * len(ACTORS), note="sent twice, on purpose")


async def sigterm(scene: Scene) -> Ends:
    """The sidecar and the runtime of a pod are asked to stop while calls run, as when a pod moves."""
    await scene.prepare()
    for actor in ACTORS:
        pod = scene.pod(actor)

        async def stop(pod: Pod = pod) -> None:
            for process in pod.processes:
                process.signal(signal.SIGTERM)

        scene.control.plan("during-call", actor, stop, scene.times)
    await scene.flow()
    exits = [code for pod in scene.mesh.pods for process in pod.processes for code in process.exits]
    if set(exits) != {0}:
        raise AssertionError(f"exit codes {exits}, expected 0")
    return Ends()


async def poison(scene: Scene) -> Ends:
    """One message ends its sidecar at each delivery; the broker puts it aside, the others go on."""
    # One at a time: what else a dying sidecar holds counts as delivered too, and would go the same way.
    scene.settings |= SHORT_LEASE | {"ASYA_PREFETCH": "1", "ASYA_CONCURRENCY": "1"}
    limit = LOWEST_LIMIT.get(scene.kind, LIMIT)
    for actor in ACTORS:
        scene.queues[actor] = QueueSpec(actor, delivery_limit=limit)
    for _ in range(scene.total // 4):
        scene.add()
    scene.add({"poison": True}, place=f"dlq:{FIRST}")
    await scene.prepare()
    pod = scene.pod(FIRST)
    # RabbitMQ counts returns, the others deliveries: the limit is passed at one more, or at it.
    scene.control.plan("poison", FIRST, partial(pod.sidecar.kill, PATIENCE), limit + (scene.kind == RABBITMQ))
    await scene.flow()
    # What had been done and not yet acknowledged when the sidecar ended.
    return Ends(0 if scene.kind == SQLITE else limit + 1, limit * 4)


async def runtime_away(scene: Scene) -> Ends:
    """The runtime is gone for long: what was prefetched is given back, no attempt is counted."""
    await scene.prepare()
    pod = scene.pod(SECOND)

    async def leave() -> None:
        scene.soon(come_back())

    async def come_back() -> None:
        await pod.runtime.stop()
        await scene.happened(lambda: _waits(scene, SECOND), "what was prefetched is given back")
        await pod.runtime.start()

    scene.control.plan("during-call", SECOND, leave, 1)
    await scene.flow()
    return Ends()


async def _waits(scene: Scene, actor: str) -> bool:
    depth = (await scene.depths()).get(actor)
    if depth is None or depth.in_flight or not depth.ready:
        return False
    return scene.kind != PUBSUB or await _can_be_had(scene, actor, depth.ready)


async def _can_be_had(scene: Scene, actor: str, count: int) -> bool:
    """Take all that waits and give it back: where the broker cannot tell, this shows that nobody holds any of it."""
    had: list[Delivery] = []
    consumer = await scene.transport.consume(actor, count, had.append)
    try:
        await until(lambda: len(had) == count, within=15, what=f"{count} of {actor}")
    except AssertionError:
        return False
    finally:
        consumer.set_credit(0)
        await asyncio.gather(*(scene.transport.complete(each, settle=Settle.RELEASE) for each in had))
        await consumer.close()
    return True


async def sink_away(scene: Scene) -> Ends:
    """Neither x-sink nor x-sump exists for a while: everything is kept."""
    await scene.prepare()
    for _ in range(scene.total):
        # What has waited for x-sink for longer than is waited goes to whichever of them is there first.
        scene.add(or_place=SUMP)
    await scene.transport.drop([SINK, SUMP])
    await scene.start()
    await scene.happened(lambda: _keeps(scene), "the second actor holds what it can and receives no more")
    await scene.transport.declare([QueueSpec(SUMP), QueueSpec(SINK)])
    await scene.settled()
    return Ends()


async def _keeps(scene: Scene) -> bool:
    depths = await scene.depths()
    # Everything has been through the first actor; the second one holds a few and the rest waits, for longer than
    # a missing destination is waited for.
    if not depths or depths[FIRST].backlog or not (depths[SECOND].in_flight or scene.kind == PUBSUB):
        return False
    await asyncio.sleep(1.5)  # the time under test: ASYA_DESTINATION_WAIT and a little more
    later = (await scene.depths())[SECOND]
    return later.backlog == scene.total


async def queue_made_again(scene: Scene) -> Ends:
    """An actor's queue is deleted while it is empty and its pod waits there; later it is made again."""
    scene.settings["ASYA_DESTINATION_WAIT"] = "60s"
    for _ in range(scene.total):
        scene.add()
    half = scene.total // 2
    later, scene.messages = scene.messages[half:], scene.messages[:half]
    await scene.prepare()
    for actor in ACTORS:
        scene.pod(actor)
    await asyncio.gather(*(pod.start() for pod in scene.mesh.pods))
    await scene.publish(scene.messages)
    await scene.settled()
    await scene.transport.drop([SECOND])
    scene.messages += later
    await scene.publish(later)
    await scene.happened(lambda: "has no queue" in scene.mesh.tails(), "a pod is told that there is no queue")
    await scene.transport.declare([scene.queues[SECOND]])
    await scene.settled()
    return Ends()


ROWS = [
    Row(
        "two-sidecars", "two sidecars on one queue", two_sidecars, ("result",),
        not_by={STREAM: "the emulator pays no heed to a stream's flow control: whoever comes first gets everything"},
    ),
    Row("duplicate-deliveries", "each message is delivered twice", duplicate_deliveries, ("redelivered",)),
    Row(
        "sigterm", "SIGTERM to sidecar and runtime while functions run", sigterm, ("sigterm",),
        second_in_ci=(PUBSUB,),
    ),
    Row(
        "poison", "a message that ends its sidecar at each delivery", poison, ("delivery-limit", "redelivered"),
        instead={PUBSUB: f"its lowest limit is {LOWEST_LIMIT[PUBSUB]}"}, second_in_ci=(RABBITMQ,), long_only=(PUBSUB,),
        not_by={STREAM: "the emulator pays no heed to flow control: all goes to it and is put aside"},
    ),
    Row("runtime-away", "the runtime is gone for several seconds", runtime_away, ("runtime-away",)),
    Row("sink-away", "neither x-sink nor x-sump exists for a while", sink_away, ("sink-away", "no-destination")),
    Row(
        "queue-made-again", "an actor's queue is deleted under its pod, and made again later", queue_made_again,
        ("no-destination",),
    ),
]  # fmt: skip
