"""Calls that go wrong: they hang, use up memory, or return too much."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.torture.model import CLOUDS, Ends, Row
from tests.torture.pods import IN_FLIGHT
from tests.torture.scene import FIRST, SECOND, Scene

TIMEOUT = {"ASYA_RESILIENCY_ACTOR_TIMEOUT": "500ms"}
ATTEMPTS = 6
"""Enough that no call which a busy machine keeps waiting for longer than that uses them up."""
_CGROUP = Path("/sys/fs/cgroup/memory")
GROUP_BYTES = 96 << 20
SEVERAL = 3


async def hung(scene: Scene, handler: str) -> Ends:
    """Some calls hang at their first attempt, one at each: it fails for good when its attempts are used up."""
    scene.settings |= TIMEOUT
    scene.settings["ASYA_RESILIENCY_POLICIES"] = (
        f'{{"default": {{"maxAttempts": {ATTEMPTS}, "backoff": "constant", "initialDelay": "100ms", "jitter": false}}}}'
    )
    for _ in range(SEVERAL):
        scene.add({FIRST: "hang-once"})
    scene.add({SECOND: "hang"}, phase="failed", reason="Timeout")
    await scene.prepare()
    for actor in (FIRST, SECOND):
        scene.pod(actor, handler=handler)
    await scene.flow()
    # Each hanging call is made again; where its process was replaced, those that had been sent ahead begin anew too.
    return Ends(0, (SEVERAL + ATTEMPTS - 1) * (1 + IN_FLIGHT))


async def out_of_memory(scene: Scene) -> Ends:
    """The process is ended in the middle of a call, because it used more memory than it may."""
    for _ in range(SEVERAL):
        scene.add({SECOND: "memory"})
    group = scene.on(_memory_group())
    await scene.prepare()
    scene.pod(SECOND, runtime={"TEST_MEMORY_GROUP": str(group)} if group else {})
    await scene.flow()
    kills = _oom_kills(group) if group else SEVERAL
    if kills < SEVERAL:
        raise AssertionError(f"the kernel ended {kills} processes, expected {SEVERAL}")
    way = "the kernel's, in a memory cgroup" if group else "RLIMIT_AS, met by native code"
    return Ends(0, SEVERAL * 2, note=f"limit: {way}")


async def memory_error(scene: Scene) -> Ends:
    """The limit is met by Python itself, which raises MemoryError; the process lives."""
    for _ in range(SEVERAL):
        scene.add({SECOND: "memory-error"})
    await scene.flow()
    return Ends(0, SEVERAL)


async def oversize(scene: Scene) -> Ends:
    """Results over the transport's limit: into x-sump with the input. Their reports fit."""
    limit = 8192
    scene.settings[f"ASYA_{scene.kind.upper()}_MAX_MESSAGE_BYTES"] = str(limit)
    every = scene.total // 20
    for number in range(scene.total):
        large = {FIRST if number % 2 else SECOND: "large", "size": limit} if number % every == 0 else None
        if large is None:
            scene.add()
        else:
            scene.add(large, place="x-sump", phase="failed", reason="TooLarge")
    await scene.flow()
    return Ends()


@contextmanager
def _memory_group() -> Iterator[Path | None]:
    """A cgroup with little memory (version 1), or None where none can be made."""
    group = _CGROUP / f"asya-torture-{os.getpid()}-{os.urandom(3).hex()}"
    try:
        group.mkdir()
    except OSError:
        yield None
        return
    try:
        (group / "memory.limit_in_bytes").write_text(str(GROUP_BYTES))
        yield group
    finally:
        root = _CGROUP / "cgroup.procs"
        for pid in (group / "cgroup.procs").read_text().split():
            root.write_text(pid)
        group.rmdir()


def _oom_kills(group: Path) -> int:
    lines = dict(line.split() for line in (group / "memory.oom_control").read_text().splitlines())
    return int(lines["oom_kill"])


async def hung_sync(scene: Scene) -> Ends:
    """A function that blocks its process: it is replaced."""
    return await hung(scene, "handlers.handle")


async def hung_async(scene: Scene) -> Ends:
    """A coroutine: it is cancelled, its process lives."""
    return await hung(scene, "handlers.handle_async")


_HUNG_IDS = ("call-timeout", "handler-error", "exhausted")
ROWS = [
    Row("hung-sync", "functions that never return", hung_sync, _HUNG_IDS),
    Row("hung-async", "coroutines that never return", hung_async, _HUNG_IDS, long_only=CLOUDS),
    Row(
        "out-of-memory", "the runtime is ended because it uses too much memory", out_of_memory,
        ("runtime-crashed", "handler-error"), long_only=CLOUDS,
    ),
    Row("memory-error", "a function meets its memory limit", memory_error, ("handler-error",), long_only=CLOUDS),
    Row("oversize", "results over the size limit", oversize, ("too-large",)),
]  # fmt: skip
