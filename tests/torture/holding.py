"""Who holds a message: leases, several sidecars, messages that come twice, stops, clocks and disks."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.mesh import Pod
from tests.torture.model import SQLITE, Ends, Row, UnavailableError
from tests.torture.scene import ACTORS, FIRST, IN_FLIGHT, SECOND, SINK, SUMP, Scene

from asya.transports import QueueSpec

LIMIT = 3
"""Deliveries without settlement; fewer than the default, because each costs a start of a sidecar."""
DISK_BYTES = 12 << 20
HOUR = 3600.0


async def lease_expiry(scene: Scene) -> Ends:
    """A sidecar's loop stands still for longer than its lease, another one goes on with what it held.

    Not by SIGSTOP: a process that is stopped within its transaction keeps SQLite's lock, and everybody waits for it.
    """
    await scene.prepare()
    scene.pod(FIRST, who="stopped")
    scene.pod(FIRST)

    async def stand_still() -> None:
        await scene.happened(lambda: _nothing_held(scene, FIRST), "the leases have run out and others went on")

    scene.control.plan("before-call", "stopped", stand_still, 1)
    await scene.flow()
    if sum(scene.calls().values()) == len(scene.calls()):
        raise AssertionError("nothing was called again, so no lease ran out while its holder stood still")
    return Ends(0, IN_FLIGHT)


async def _nothing_held(scene: Scene, actor: str) -> bool:
    depth = (await scene.depths()).get(actor)
    return depth is not None and (depth.ready, depth.in_flight) == (0, 0)


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
    scene.settings |= {"ASYA_PREFETCH": "1", "ASYA_CONCURRENCY": "1"}
    for actor in ACTORS:
        scene.queues[actor] = QueueSpec(actor, delivery_limit=LIMIT)
    for _ in range(scene.total // 4):
        scene.add()
    scene.add({"poison": True}, place=f"dlq:{FIRST}")
    await scene.prepare()
    pod = scene.pod(FIRST)
    # RabbitMQ counts returns, SQLite deliveries: the limit is passed at one more, or at it.
    scene.control.plan("poison", FIRST, pod.sidecar.kill, LIMIT)
    if scene.kind != SQLITE:
        scene.control.plan("poison", FIRST, pod.sidecar.kill, 1)
    await scene.flow()
    # What had been done and not yet acknowledged when the sidecar ended.
    return Ends(0 if scene.kind == SQLITE else LIMIT + 1, LIMIT * 4)


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
    return depth is not None and depth.in_flight == 0 and depth.ready > 0


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
    if not depths or depths[FIRST].backlog or not depths[SECOND].in_flight:
        return False
    await asyncio.sleep(1.5)  # the time under test: ASYA_DESTINATION_WAIT and a little more
    later = (await scene.depths())[SECOND]
    return later.backlog == scene.total


async def full_disk(scene: Scene) -> Ends:
    """The disk under the database fills up in the middle of the flow, and later has room again."""
    disk = scene.on(_small_disk(scene.folder / "disk"))
    scene.database = disk / "queue.sqlite"
    ballast = disk / "ballast"

    async def fill() -> None:
        await asyncio.to_thread(_fill, ballast)
        scene.soon(make_room())

    async def make_room() -> None:
        try:
            await scene.happened(lambda: "disk is full" in scene.mesh.tails(), "a sidecar is told that it is full")
        finally:
            ballast.unlink()

    scene.control.plan("during-call", SECOND, fill, 1)
    await scene.flow()
    return Ends(0, 2 * IN_FLIGHT, note="a tmpfs of its own")


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UnavailableError(f"no small disk can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        size = 1 << 20
        while size >= 512:
            try:
                file.write(b"\0" * size)
            except OSError:
                size //= 2


async def clock_jump(scene: Scene) -> Ends:
    """The machine's clock is set an hour ahead, and back again later."""
    # A message that the clock has hidden does not come by waiting longer.
    scene.seconds = min(scene.seconds, 20.0 + scene.total / 100)
    clock = scene.folder / "clock"
    clock.write_text("0")
    turns = iter([HOUR, 0.0, -HOUR, 0.0])
    await scene.prepare()
    for actor in ACTORS:
        scene.pod(actor, sidecar={"TEST_CLOCK": str(clock)})

    async def jump() -> None:
        new = clock.with_suffix(".new")
        new.write_text(str(next(turns)))
        new.rename(clock)

    scene.control.plan("during-call", FIRST, jump, 4)
    await scene.flow()
    return Ends(0, 4 * 2 * IN_FLIGHT)


ROWS = [
    Row("lease-expiry", "a sidecar stands still for longer than its lease", lease_expiry, ("redelivered",), (SQLITE,)),
    Row("two-sidecars", "two sidecars on one queue", two_sidecars, ("result",)),
    Row("duplicate-deliveries", "each message is delivered twice", duplicate_deliveries, ("redelivered",)),
    Row("sigterm", "SIGTERM to sidecar and runtime while functions run", sigterm, ("sigterm",)),
    Row(
        "poison", "a message that ends its sidecar at each delivery", poison, ("delivery-limit", "redelivered"),
        aio_pika_in_ci=True,
    ),
    Row("runtime-away", "the runtime is gone for several seconds", runtime_away, ("runtime-away",)),
    Row("sink-away", "neither x-sink nor x-sump exists for a while", sink_away, ("sink-away", "no-destination")),
    Row("full-disk", "the disk under the database is full for a while", full_disk, ("broker-refuses",), (SQLITE,)),
    Row("clock-jump", "the clock jumps ahead by an hour, and back", clock_jump, ("result",)),
]  # fmt: skip
