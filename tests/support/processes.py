"""Processes kept running as a kubelet keeps a container: started again whenever they end by themselves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

QUICK_SECONDS = 1.0
QUICK_EXITS = 5
"""A process that ends this often in a row within QUICK_SECONDS of its start will not come up: give up and say so.

Who kills on purpose more often than that sets `Process.quick_exits`.
"""


class GaveUpError(AssertionError):
    """A process keeps ending right after its start; the message carries the end of its log."""


class Process:
    """One program, started by `start` and, with `restart`, again whenever it ends before `stop`.

    `exits` holds the exit codes so far (negative: the signal that ended it). Output goes to the file `log`.
    `quick_exits`: how many ends in a row right after a start are taken for a program that will not come up.
    """

    def __init__(self, name: str, argv: Sequence[str], env: Mapping[str, str], log: Path, *, restart: bool) -> None:
        self.name, self.argv, self.env, self.log, self.restart = name, list(argv), dict(env), log, restart
        self.quick_exits = QUICK_EXITS
        self.exits: list[int] = []
        self.started_at = 0.0
        self.failure: GaveUpError | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()
        self._stopping = False

    @property
    def pid(self) -> int:
        """The running process's id."""
        if self._process is None or self._process.returncode is not None:
            raise ProcessLookupError(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether a process runs now."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it and, if asked to, keep it running."""
        self._stopping = False
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.name}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process itself, not to its children."""
        os.kill(self.pid, number)

    async def kill(self, within: float = 10.0) -> None:
        """``kill -9``, then wait until its successor was started (or, without `restart`, until it ended)."""
        wanted = len(self.exits) + 1
        self.signal(signal.SIGKILL)
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(lambda: len(self.exits) >= wanted and (self.running or not self.restart))

    async def wait(self) -> int:
        """Wait for the end of a process that is not kept; return its exit code."""
        if self._keeper is not None:
            await self._keeper
        return self.exits[-1]

    async def stop(self, grace: float = 10.0) -> int:
        """SIGTERM, then after `grace` seconds SIGKILL to its whole process group; return the exit code."""
        self._stopping = True
        group = self._process.pid if self._process is not None else None
        if self.running:
            self.signal(signal.SIGTERM)
        if self._keeper is not None:
            try:
                await asyncio.wait_for(asyncio.shield(self._keeper), grace)
            except TimeoutError:
                self.signal(signal.SIGKILL)
                await self._keeper
        if group is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)  # what it started and left behind
        return self.exits[-1] if self.exits else 0

    def tail(self, lines: int = 40) -> str:
        """The end of its log, for a failure's message."""
        text = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([f"--- {self.name}, exits {self.exits}", *text[-lines:]])

    async def _spawn(self) -> None:
        with self.log.open("ab") as output:
            self.started_at = time.monotonic()
            self._process = await asyncio.create_subprocess_exec(
                *self.argv,
                env=self.env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        async with self._changed:
            self._changed.notify_all()

    async def _keep(self) -> None:
        quick = 0
        while self._process is not None:
            code = await self._process.wait()
            lived = time.monotonic() - self.started_at
            self.exits.append(code)
            async with self._changed:
                self._changed.notify_all()
            if self._stopping or not self.restart:
                return
            quick = quick + 1 if lived < QUICK_SECONDS else 0
            if quick >= self.quick_exits:
                self.failure = GaveUpError(f"{self.name} ends as soon as it is started\n{self.tail()}")
                return
            await self._spawn()


def children(pid: int) -> list[int]:
    """Ids of a process's direct children, in the order they were started (Linux)."""
    with contextlib.suppress(OSError):
        # Where the kernel keeps a list of them (CONFIG_PROC_CHILDREN), nobody need look at every process there is.
        tasks = Path(f"/proc/{pid}/task")
        return sorted(int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split())
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The command in brackets may itself hold brackets and blanks; the parent is the second field after it.
                if int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[1]) == pid:
                    found.append(int(entry.name))
    return sorted(found)


async def until(
    condition: Callable[[], bool | Awaitable[bool]],
    *,
    within: float,
    what: Callable[[], str] | str,
    every: float = 0.02,
) -> None:
    """Look at `condition` every `every` seconds until it holds; AssertionError with `what` after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        held = condition()
        if await held if isinstance(held, Awaitable) else held:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what if isinstance(what, str) else what()}")
        await asyncio.sleep(every)
