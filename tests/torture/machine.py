"""The machine fails: a process stands still, a disk is full, the clock is set."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.torture.model import CLOUDS, PUBSUB, RABBITMQ, SQS, STREAM, Ends, Row, UnavailableError
from tests.torture.pods import IN_FLIGHT, SHORT_LEASE
from tests.torture.scene import ACTORS, FIRST, SECOND, Scene

DISK_BYTES, DISK_BYTES_PER_MESSAGE = 12 << 20, 4 << 10
HOUR = 3600.0


async def lease_expiry(scene: Scene) -> Ends:
    """A sidecar's loop stands still for longer than its lease, another one goes on with what it held.

    Not by SIGSTOP: a process that is stopped within its transaction keeps SQLite's lock, and everybody waits for it.
    """
    scene.settings |= SHORT_LEASE
    await scene.prepare()
    stopped = scene.pod(FIRST, who="stopped")
    scene.pod(FIRST)

    async def stand_still() -> None:
        await scene.happened(lambda: _nothing_held(scene, FIRST), "the leases have run out and others went on")

    scene.control.plan("before-call", "stopped", stand_still, 1)
    await scene.flow()
    # What it was about to do when it stood still it may do all the same, after everything has come to its end.
    await stopped.stop()
    scene.mesh.pods.remove(stopped)
    await scene.settled()
    if sum(scene.calls().values()) == len(scene.calls()):
        raise AssertionError("nothing was called again, so no lease ran out while its holder stood still")
    return Ends(IN_FLIGHT if scene.kind in CLOUDS else 0, IN_FLIGHT * len(ACTORS))


async def _nothing_held(scene: Scene, actor: str) -> bool:
    depth = (await scene.depths()).get(actor)
    return depth is not None and (depth.ready, depth.in_flight) == (0, 0)


async def full_disk(scene: Scene) -> Ends:
    """The disk under the database fills up in the middle of the flow, and later has room again."""
    disk = scene.on(_small_disk(scene.folder / "disk", DISK_BYTES + scene.total * DISK_BYTES_PER_MESSAGE))
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
def _small_disk(folder: Path, size: int) -> Iterator[Path]:
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
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
    Row(
        "lease-expiry", "a sidecar stands still for longer than its lease", lease_expiry, ("redelivered",),
        {RABBITMQ: "it has no leases: what is held is held as long as the connection lives"},
        not_by={STREAM: "the emulator pays no heed to flow control: who stands still is sent everything again"},
    ),
    Row(
        "full-disk", "the disk under the database is full for a while", full_disk, ("broker-refuses",),
        {
            RABBITMQ: "it blocks publishers before its disk is full, as for its memory",
            SQS: "no disk of ours is in it",
            PUBSUB: "no disk of ours is in it",
        },
    ),
    Row("clock-jump", "the clock jumps ahead by an hour, and back", clock_jump, ("result",)),
]  # fmt: skip
