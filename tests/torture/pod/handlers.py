"""What the two actors of every row do: leave a line for each call, and what the payload asks for.

One write of a short line in append mode is atomic, so several processes share the file.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from pathlib import Path

import stops

_RECORD = os.open(os.environ["TEST_RECORD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_ONCE = Path(os.environ["TEST_RECORD"] + ".once")
_ACTOR = os.environ["TEST_ACTOR"]
_WORK_SECONDS = 0.001
_HANG_SECONDS = 3600.0


def handle(payload: dict) -> dict | None:
    """Work a moment, or misbehave where the payload says so."""
    note(payload)
    stops.reached("during-call")
    time.sleep(_WORK_SECONDS)
    ask = payload.get(_ACTOR)
    if ask == "hang" or (ask == "hang-once" and first_time(payload)):
        time.sleep(_HANG_SECONDS)
    if ask == "memory" and first_time(payload):
        _use_up_memory()
    if ask == "memory-error" and first_time(payload):
        _meet_the_limit()
    if ask == "large":
        return {**payload, "filling": "x" * payload["size"]}
    return {**payload, "done": [*payload.get("done", []), _ACTOR]}


async def handle_async(payload: dict) -> dict:
    """The same for a handler that is a coroutine; one that hangs awaits something that never comes."""
    note(payload)
    stops.reached("during-call")
    await asyncio.sleep(_WORK_SECONDS)
    ask = payload.get(_ACTOR)
    if ask == "hang" or (ask == "hang-once" and first_time(payload)):
        await asyncio.Event().wait()
    return {**payload, "done": [*payload.get("done", []), _ACTOR]}


def note(payload: dict) -> None:
    os.write(_RECORD, f"{_ACTOR} {payload['n']} {os.getpid()}\n".encode())


def first_time(payload: dict) -> bool:
    """Tell whether no process has been here with this message; a file says so beyond the life of one."""
    _ONCE.mkdir(exist_ok=True)
    try:
        os.close(os.open(_ONCE / f"{_ACTOR}-{payload['n']}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _use_up_memory() -> None:
    """Allocate in a memory cgroup until the kernel ends this process; without one, until an address is refused."""
    group = os.environ.get("TEST_MEMORY_GROUP")
    if group:
        Path(group, "cgroup.procs").write_text(str(os.getpid()))
        held = []
        while True:
            held.append(bytearray(b"x") * (8 << 20))
    import ctypes

    _limit_memory()
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    while True:  # as native code does that does not look at what malloc returned
        ctypes.memset(libc.malloc(ctypes.c_size_t(64 << 20)), 1, 64 << 20)


def _meet_the_limit() -> None:
    """Ask for more memory than the process may have: Python raises MemoryError, the process lives."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    _limit_memory()
    try:
        bytearray(1 << 30)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    used = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (128 << 20), resource.getrlimit(resource.RLIMIT_AS)[1]))
