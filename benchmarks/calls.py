"""The sidecar's link to a real runtime process: wall time of one call. Run as a program, it prints one JSON object.

A process of its own, because the sidecar's event loop serves nothing else either.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import uvloop
from tests.support.mesh import environment, runtime_file
from tests.support.processes import Process

from asya_sidecar.decide import Ended, Outcome
from asya_sidecar.link import RuntimeLink
from benchmarks.payload import payload
from benchmarks.procfs import tree
from benchmarks.workers import HANDLERS, PodSettings

LIMIT = 60.0
PODS = PodSettings()
BATCHES = 20


class _Ended:
    """Hears how one call ended: the handler gives one result."""

    def __init__(self, ended: Callable[[Outcome], None]) -> None:
        self.ended = ended

    def chunk(self, index: int, result: object) -> None:  # noqa: ARG002  the listener's shape
        raise AssertionError("a second result")

    def fly(self, event: bytes) -> None:  # noqa: ARG002
        raise AssertionError("an event")


def _meta() -> bytes:
    return msgspec.json.encode(
        {
            "id": "0b6a5f64-3a4b-4d5e-9f10-2a3b4c5d6e7f",
            "parent_id": None,
            "route": {"prev": ["load", "denoise"], "curr": "bench", "next": ["upscale", "quality-gate"]},
            "headers": {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x-asya-hop": 2},
            "status": {"phase": "pending", "actor": "bench", "attempt": 1, "max_attempts": 0},
            "timeout": 300.0,
        }
    )


def _check(outcome: Outcome, sent: bytes) -> None:
    """A figure counts only when the handler's answer is the message it was given."""
    if not isinstance(outcome, Ended) or outcome.first is None or json.loads(outcome.first.payload) != json.loads(sent):
        raise AssertionError(f"the call ended with {outcome!r}")


async def sequential(link: RuntimeLink, total: int) -> float:
    """Seconds for `total` calls, each begun when the one before has ended."""
    meta, body = _meta(), payload()
    loop = asyncio.get_running_loop()
    begun = time.perf_counter()
    for _ in range(total):
        done: asyncio.Future[Outcome] = loop.create_future()
        link.call(meta, body, LIMIT, _Ended(done.set_result))
        outcome = await done
    taken = time.perf_counter() - begun
    _check(outcome, body)
    return taken


async def pipelined(link: RuntimeLink, total: int) -> float:
    """Seconds for `total` calls with PODS.concurrency of them under way."""
    meta, body = _meta(), payload()
    finished: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    begun_calls = ended_calls = 0

    def begin() -> None:
        nonlocal begun_calls
        begun_calls += 1
        link.call(meta, body, LIMIT, listener)

    def ended(outcome: Outcome) -> None:
        nonlocal ended_calls
        ended_calls += 1
        if begun_calls < total:
            begin()
        elif ended_calls == total:
            finished.set_result(outcome)

    listener = _Ended(ended)

    begun = time.perf_counter()
    for _ in range(min(PODS.concurrency, total)):
        begin()
    outcome = await finished
    taken = time.perf_counter() - begun
    _check(outcome, body)
    return taken


async def _both(link: RuntimeLink, calls: int) -> dict[str, float]:
    """µs of one call; the median of many short stretches, so that somebody else's work in one does not count."""
    some = max(calls // BATCHES, 200)
    few = max(some // 5, 100)
    return {
        "sequential": statistics.median([await sequential(link, few) / few for _ in range(BATCHES)]) * 1e6,
        "pipelined": statistics.median([await pipelined(link, some) / some for _ in range(BATCHES)]) * 1e6,
    }


async def _pinned(link: RuntimeLink, calls: int, runtime: int, ours: list[int], theirs: list[int]) -> dict[str, float]:
    """The same with both processes held on given CPUs: the scheduler's choice decides much of a sequential call."""
    os.sched_setaffinity(0, ours)
    for pid in tree(runtime):
        os.sched_setaffinity(pid, theirs)
    return await _both(link, calls // 2)


async def main(calls: int) -> None:
    """Start a runtime, call it, print ``{where: {"sequential": µs, "pipelined": µs}}``."""
    with tempfile.TemporaryDirectory(prefix="asya-") as folder:
        ready = asyncio.Event()
        link = RuntimeLink(
            Path(folder),
            mode=0o600,
            actor="bench",
            namespace="bench",
            on_capacity=lambda capacity: ready.set() if capacity else None,
            timeout=300.0,
            on_drain=lambda: None,
            on_supervisor=lambda: None,
        )
        await link.open()
        runtime = Process(
            "runtime",
            [sys.executable, str(runtime_file())],
            environment(
                {
                    "ASYA_SOCKET_DIR": folder,
                    "PYTHONPATH": str(HANDLERS),
                    **PODS.runtime(),
                    "ASYA_HANDLER": "noop.handle",
                }
            ),
            Path(folder) / "runtime.log",
            restart=False,
        )
        await runtime.start()
        try:
            async with asyncio.timeout(20):
                await ready.wait()
            await sequential(link, 500)
            await pipelined(link, 2000)
            found = {"asya": await _both(link, calls)}
            processors = sorted(os.sched_getaffinity(0))
            if len(processors) > 1:
                found["both on one CPU"] = await _pinned(link, calls, runtime.pid, processors[:1], processors[:1])
                found["on two CPUs"] = await _pinned(link, calls, runtime.pid, processors[:1], processors[1:2])
        except BaseException:
            print(runtime.tail(), file=sys.stderr)
            raise
        finally:
            await link.close()
            await runtime.stop()
    print(json.dumps(found))


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
