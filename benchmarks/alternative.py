"""Run one of the alternatives: their worker, in their own environment, on the same broker."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.support.mesh import environment
from tests.support.processes import Process, until

from benchmarks.amqp import Queues
from benchmarks.hops import CountError, Hops, measure
from benchmarks.payload import payload

ALTERNATIVES = ("FastStream", "Dramatiq")
PACKAGES = ("faststream", "dramatiq", "aio-pika", "pika", "uvloop")
IN_FLIGHT = 100
THREADS = 8
_HERE = Path(__file__).parent / "alternatives"


class Alternative:
    """One kind of worker beside ours."""

    def __init__(self, name: str, python: Path, url: str, logs: Path) -> None:
        self.name, self._url = name, url
        self._script = _HERE / f"{name.lower()}_hop.py"
        self._python = python
        self._log = logs / f"{name.lower()}.log"
        self._source, self._target = f"bench.{name.lower()}.in", f"bench.{name.lower()}.out"
        self._environment = environment(
            {
                "BENCH_URL": url,
                "BENCH_SOURCE": self._source,
                "BENCH_TARGET": self._target,
                "BENCH_PREFETCH": str(IN_FLIGHT),
                "BENCH_THREADS": str(THREADS),
                "dramatiq_queue_prefetch": str(IN_FLIGHT),
            }
        )

    async def round(self, total: int, progress: Callable[[float], None], within: float) -> Hops:
        """Fill the source queue, start the worker, measure, stop, delete the queues."""
        async with Queues(self._url) as queues:
            await self._clear(queues)
            await self._fill(total)
            await self._filled(queues, total)
            worker = Process(
                self.name, [str(self._python), str(self._script), "work"], self._environment, self._log, restart=False
            )
            await worker.start()
            try:
                hops = await measure(
                    total=total,
                    arrived=lambda: queues.ready(self._target),
                    left=lambda: queues.ready(self._source),
                    processes={"worker": worker.pid},
                    progress=progress,
                    within=within,
                )
            finally:
                await worker.stop()
            # What was not acknowledged is back in its queue now.
            counts = await queues.ready(self._source), await queues.ready(self._target)
            if counts != (0, total):
                raise CountError(f"{self.name}: after the end {counts[0]} are left and {counts[1]} of {total} arrived")
            await self._clear(queues)
            return hops

    async def _fill(self, total: int) -> None:
        process = await asyncio.create_subprocess_exec(
            str(self._python), str(self._script), "fill", str(total),
            env=self._environment, stdin=asyncio.subprocess.PIPE,
        )  # fmt: skip
        await process.communicate(payload())
        if process.returncode:
            raise RuntimeError(f"{self.name} could not fill its queue (exit code {process.returncode})")

    async def _filled(self, queues: Queues, total: int) -> None:
        """Their preparation does not wait for confirmations, so the last messages may still be on their way."""

        async def complete() -> bool:
            return await queues.ready(self._source) == total

        await until(complete, within=15, what=f"{self.name}'s {total} messages in the source queue", every=0.1)

    async def _clear(self, queues: Queues) -> None:
        for name in (self._source, self._target):
            await queues.delete(name, f"{name}.DQ", f"{name}.XQ")


def versions(python: Path) -> dict[str, str]:
    """Versions of the alternatives' packages."""
    code = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    found = subprocess.run([str(python), "-c", code, *PACKAGES], capture_output=True, check=True, text=True)
    return dict(json.loads(found.stdout))
