"""The way to the broker fails: restarts, alarms, connections that are cut, slow, or that nobody hears of again."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from tests.support.rabbitmq import Broker
from tests.torture.account import DEAD, found
from tests.torture.gone import GONE, gone_and_back
from tests.torture.line import Line
from tests.torture.model import CLOUDS, PUBSUB, RABBITMQ, SQLITE, SQS, Ends, Row
from tests.torture.namespaces import NetworkNamespace
from tests.torture.pods import IN_FLIGHT, SHORT_LEASE
from tests.torture.scene import ACTORS, FIRST, SECOND, Scene

SLOW_SECONDS = 0.02
HEARTBEAT = {"ASYA_RABBITMQ_HEARTBEAT": "2s"}
"""A silent connection is taken for dead after two or three of them; shorter ones a busy machine would miss."""


def again(scene: Scene, pods: int) -> Ends:
    """What pods held when their connections went comes again, and may have been sent on."""
    held = scene.control.done * pods * IN_FLIGHT
    return Ends(held, held * len(ACTORS))


async def broker_restart(scene: Scene) -> Ends:
    """SIGTERM, as an upgrade does it, and a new start on the same data; a cloud's endpoint is gone and comes back."""
    lines: list[Line] = []
    if scene.kind in CLOUDS:
        scene.settings |= SHORT_LEASE
        lines = await _lines(scene)

    async def restart() -> None:
        if scene.kind in CLOUDS:
            gone_and_back(scene, lines)
        else:
            scene.soon(asyncio.to_thread(scene.broker.restart))

    scene.control.plan("during-call", SECOND, restart, 1)
    await scene.flow()
    return again(scene, len(ACTORS))


async def memory_alarm(scene: Scene) -> Ends:
    """The node believes that its memory is used up and blocks whoever publishes, then no longer."""

    async def alarm() -> None:
        await asyncio.to_thread(_set_alarm, scene.broker, on=True)
        scene.soon(relief())

    async def relief() -> None:
        try:
            await scene.happened(lambda: _blocked(scene.broker), "publishers are blocked")
        finally:
            await asyncio.to_thread(_set_alarm, scene.broker, on=False)

    scene.control.plan("during-call", FIRST, alarm, scene.times // 2)
    await scene.flow()
    return Ends()


async def connection_cut(scene: Scene) -> Ends:
    """All connections of a pod end with a reset, from both ends."""
    if scene.kind in CLOUDS:
        scene.settings |= SHORT_LEASE  # what was on its way in an answer comes again when its lease ends
    for actor, line in zip(ACTORS, await _lines(scene), strict=True):

        async def cut(actor: str = actor, line: Line = line) -> None:
            await scene.happened(lambda: line.connections > 0, f"{actor} has a connection")
            line.cut()

        async def cut_at_once_or_soon(cut: Callable[[], Awaitable[None]] = cut, line: Line = line) -> None:
            if line.connections > 0:
                line.cut()
            else:
                # On SQS a pod that holds all it may take asks for nothing, until the call that waits here goes on.
                scene.soon(cut())

        scene.control.plan("during-call", actor, cut_at_once_or_soon, scene.times)
    await scene.flow()
    return again(scene, 1)


async def line_slow(scene: Scene) -> Ends:
    """Every piece takes long, on its way there and back."""
    for line in await _lines(scene):
        line.delay = SLOW_SECONDS
    await scene.flow()
    return Ends()


async def half_open(scene: Scene) -> Ends:
    """As the broker notices: by heartbeats, or because leases run out."""
    return await (_half_open_leases(scene) if scene.kind in CLOUDS else _half_open_heartbeats(scene))


async def _half_open_leases(scene: Scene) -> Ends:
    """Packets of one of two pods vanish until the other has done what it held; then it has to work again, alone."""
    network = scene.on(NetworkNamespace())
    scene.settings |= SHORT_LEASE
    await scene.prepare()
    line = await scene.proxy(SECOND, network.host)
    scene.pod(FIRST)
    scene.pod(SECOND, who="silenced", proxy=line, before=network.command)
    other = scene.pod(SECOND, who="other")

    async def silence() -> None:
        network.drop_packets()

    scene.control.plan("during-call", "silenced", silence, 1)
    for _ in range(scene.total + scene.total // 4):
        scene.add()
    last, scene.messages = scene.messages[scene.total :], scene.messages[: scene.total]
    await scene.start()
    try:
        await scene.happened(lambda: _all_done(scene), "the other pod has done everything")
    finally:
        network.restore()
    await other.stop()
    scene.mesh.pods.remove(other)
    scene.messages += last
    await scene.publish(last)
    await scene.settled()
    return again(scene, 1)


async def _all_done(scene: Scene) -> bool:
    depths = await scene.depths()
    return bool(depths) and not scene.control.outstanding and not any(depths[actor].backlog for actor in ACTORS)


async def _half_open_heartbeats(scene: Scene) -> Ends:
    """Packets of a pod's network namespace vanish until the broker has given its connections up, then pass again."""
    network = scene.on(NetworkNamespace())
    await scene.prepare()
    proxy = await scene.proxy(SECOND, network.host)
    scene.pod(FIRST)
    scene.pod(SECOND, proxy=proxy, before=network.command, sidecar=HEARTBEAT)

    async def silence() -> None:
        network.drop_packets()
        scene.soon(restore())

    async def restore() -> None:
        try:
            # It notices by missing heartbeats, and hands out again what the pod still believes to hold.
            await scene.happened(lambda: not proxy.connections, "the broker gives the connections up")
        finally:
            network.restore()

    scene.control.plan("during-call", SECOND, silence, 1)
    await scene.flow()
    return again(scene, 1)


async def _lines(scene: Scene) -> list[Line]:
    """A pod of each actor behind a line of its own."""
    await scene.prepare()
    lines = [await scene.proxy(actor) for actor in ACTORS]
    for actor, line in zip(ACTORS, lines, strict=True):
        scene.pod(actor, proxy=line)
    return lines


async def dlq_full(scene: Scene) -> Ends:
    """The dead-letter queue takes no more, until somebody makes room."""
    wide, count, room = 4096, 3 * IN_FLIGHT, 2
    scene.settings["ASYA_RABBITMQ_MAX_MESSAGE_BYTES"] = str(wide)
    for _ in range(scene.total - count):
        scene.add()
    # Larger than the limit as a result, and as the report of it in x-sump too: only the dead letters can take it. They
    # come last, because while the broker refuses one message no other is received.
    for _ in range(count):
        scene.add({"first": "large", "size": wide, "filling": "x" * (wide - 400)}, place="dlq:first", phase=None)
    await scene.prepare()
    with _bounded_dead_letters(scene, FIRST, room):
        await scene.start()
        await scene.happened(lambda: _waits_for_room(scene, room, count), "the dead letters are full, the rest waits")
        await scene.happened(lambda: _take_out(scene, FIRST, count), "all dead letters have come and were taken out")
    await scene.settled()
    return Ends(0, None, note=f"{count} dead letters, room for {room}")


async def _waits_for_room(scene: Scene, room: int, count: int) -> bool:
    """Everything else has come to its end, and what cannot be dead-lettered is held, not lost and not sent round."""
    seen = []
    for _ in range(2):
        depths = await scene.depths()
        seen.append((depths[FIRST].dead or 0, depths[FIRST].backlog, depths["x-sink"].ready) if depths else ())
        if not seen[-1] or seen[-1] != seen[0]:
            return False
        # Longer than it takes until the first refused ones are tried again.
        await asyncio.sleep(0.5)
    dead, held, ended = seen[0]
    # A quorum queue refuses a little late, so that more than its limit may lie in it.
    return room <= dead < count == dead + held and ended == scene.total - count


async def _take_out(scene: Scene, actor: str, count: int) -> bool:
    """Make room as an operator does, by taking dead letters out, until all have been there."""
    path = f"/api/queues/%2F/asya_{scene.namespace}_{actor}_dlq/get"
    wanted = {"count": count, "ackmode": "ack_requeue_false", "encoding": "base64"}
    for letter in await asyncio.to_thread(scene.broker.management, "POST", path, wanted):
        scene.taken.append(found(DEAD + actor, base64.b64decode(letter["payload"])))
    return len(scene.taken) == count


@contextmanager
def _bounded_dead_letters(scene: Scene, actor: str, room: int) -> Iterator[None]:
    name = f"asya_{scene.namespace}_{actor}_dlq"
    path = f"/api/policies/%2F/{name}"
    definition = {"max-length": room, "overflow": "reject-publish"}
    policy = {"pattern": f"^{name}$", "definition": definition, "apply-to": "queues"}
    scene.broker.management("PUT", path, policy)
    try:
        yield
    finally:
        scene.broker.management("DELETE", path)


def _set_alarm(broker: Broker, *, on: bool) -> None:
    broker.set_memory_alarm(on=on)


def _blocked(broker: Broker) -> bool:
    return any(each["state"] in ("blocked", "blocking") for each in broker.management("GET", "/api/connections"))


_A_FILE = {SQLITE: "it is a file: no line, no server"}
ROWS = [
    Row(
        "broker-restart", "the broker is restarted in order", broker_restart, ("broker-refuses", "redelivered"),
        _A_FILE, GONE,
    ),
    Row(
        "memory-alarm", "the broker's memory is used up, so it blocks publishers", memory_alarm, ("broker-refuses",),
        _A_FILE | {SQS: "it throttles instead, see there", PUBSUB: "it has quotas instead, see throttling"},
        second_in_ci=(RABBITMQ,),
    ),
    Row(
        "connection-cut", "connections to the broker are reset", connection_cut, ("broker-refuses", "redelivered"),
        _A_FILE, second_in_ci=(RABBITMQ, PUBSUB),
    ),
    Row("line-slow", "the line to the broker is slow", line_slow, ("result", "end-of-route"), _A_FILE),
    Row(
        "half-open", "packets vanish without a word (network namespace)", half_open, ("broker-refuses", "redelivered"),
        _A_FILE, second_in_ci=(RABBITMQ,),
    ),
    Row(
        "dlq-full", "the dead-letter queue is full for a while", dlq_full, ("too-large", "broker-refuses"),
        {
            SQLITE: "dead letters have no limit there",
            SQS: "queues have no greatest length",
            PUBSUB: "subscriptions have no greatest length",
        },
    ),
]  # fmt: skip
