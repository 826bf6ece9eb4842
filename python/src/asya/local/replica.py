"""One replica: a sidecar and a runtime process that share a socket, each started again when it ends by itself."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import httpx

from asya.errors import AsyaError
from asya.local import process
from asya.local.plan import ActorPlan

OnLine = Callable[[str, str], None]
"""Called with ``sidecar`` or ``runtime`` and one line of its output."""
OnReplicaLine = Callable[[str, str, bool], None]
"""The same, and whether the replica has been ready: what keeps it from that is told as its `reason`, once."""

FIRST_DELAY, LONGEST_DELAY, LONG_LIFE = 0.5, 30.0, 10.0
_PROBE_SECONDS, _READY_PROBE_SECONDS = 0.15, 2.0
_RUNTIME_STOP_SECONDS = 10.0
_FAREWELL_SECONDS = 0.5
_QUICK_ENDS = 2


def runtime_file() -> Path:
    """Where asya_runtime.py lies; it is found, never imported.

    Raises:
        AsyaError: It is not installed beside us.
    """
    spec = importlib.util.find_spec("asya_runtime")
    if spec is None or spec.origin is None or importlib.util.find_spec("asya_sidecar") is None:
        raise AsyaError("the sidecar is not installed in this environment: install the distribution asya-sidecar")
    return Path(spec.origin)


class _Kept:
    """A program that is kept running, with a delay that doubles while it keeps ending soon after its start."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        env: Callable[[], Mapping[str, str]],
        on_line: OnLine,
        on_restart: Callable[[str], None],
    ) -> None:
        self.name, self._argv, self._env, self._on_line, self._on_restart = name, argv, env, on_line, on_restart
        self.child: process.Child | None = None
        self.quick_ends = 0
        self.problem = ""
        self._last_line = ""
        self._stopping = asyncio.Event()
        self._task = asyncio.create_task(self._keep(), name=f"keep {name}")

    async def _keep(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self.child = await process.start(self._argv, self._env(), self._line)
            except OSError as error:
                self.problem = f"the {self.name} cannot be started: {error.strerror or error}"
            else:
                code = await self.child.wait()
                self.child = None
                if self._stopping.is_set():
                    return
                self.problem = f"the {self.name} ended with exit code {code}: {self._last_line[:500]}"
            quick = time.monotonic() - began < LONG_LIFE
            self.quick_ends = self.quick_ends + 1 if quick else 0
            # At once the first time: a single crash should cost as little as possible.
            delay = min(FIRST_DELAY * 2 ** (self.quick_ends - 2), LONGEST_DELAY) if self.quick_ends > 1 else 0.0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stopping.wait()
            if not self._stopping.is_set():
                self._on_restart(self.name)

    def _line(self, line: bytes) -> None:
        text = line.decode(errors="replace")
        if text.strip():
            self._last_line = text
        self._on_line(self.name, text)

    def let_go(self) -> None:
        """Do not start it again; what runs goes on."""
        self._stopping.set()

    def terminate(self) -> None:
        """Ask it to stop, and do not start it again."""
        self.let_go()
        if self.child is not None:
            self.child.terminate()

    def kill(self) -> None:
        """End it now."""
        self.let_go()
        if self.child is not None:
            self.child.kill()

    async def ended(self, seconds: float | None) -> bool:
        """Wait for its end, for at most `seconds`; tell whether it came."""
        done, _ = await asyncio.wait([self._task], timeout=seconds)
        return bool(done)


class Replica:
    """One replica of one actor. `number` is unique within its pool while it lives."""

    def __init__(
        self,
        plan: ActorPlan,
        number: int,
        *,
        socket_dir: Path,
        log: Path,
        sidecar_env: Mapping[str, str],
        on_line: OnReplicaLine,
        on_change: Callable[[], None],
        on_restart: Callable[[str], None],
        http: httpx.AsyncClient,
        before_drain: Callable[[], Awaitable[None]] | None,
    ) -> None:
        """Start both processes.

        `before_drain`, where the sidecar's metrics are wanted, takes the last look at them.
        """
        self.plan, self.number = plan, number
        self.ready = self._was_ready = self.draining = False
        self.reason = ""
        """Why it is not ready, in words; empty while it starts and while it is ready."""
        self.notice = ""
        """What people should know although it is ready, in words: a circuit that is open."""
        self._log: BinaryIO = log.open("ab")
        self._show, self._on_change, self._http = on_line, on_change, http
        self._before_drain = before_drain
        self._port = 0
        # A file that is not there: where we run in a pod, its last words are not for our replicas to write.
        shared = {"ASYA_SOCKET_DIR": str(socket_dir), "ASYA_TERMINATION_LOG": str(socket_dir / "termination-log")}

        def sidecar_environment() -> dict[str, str]:
            self._port = _free_port()
            addresses = {"ASYA_HEALTH_ADDR": f"127.0.0.1:{self._port}"}
            if before_drain is not None:
                addresses["ASYA_METRICS_ADDR"] = addresses["ASYA_HEALTH_ADDR"]
            return {**plan.sidecar_env, **sidecar_env, **shared, **addresses}

        sidecar = [sys.executable, "-m", "asya_sidecar"]
        runtime = [plan.python, str(runtime_file())]
        self._sidecar = _Kept("sidecar", sidecar, sidecar_environment, self._line, on_restart)
        self._runtime = _Kept("runtime", runtime, lambda: {**plan.runtime_env, **shared}, self._line, on_restart)
        self._probing = asyncio.create_task(self._probe(), name=f"probe {plan.name}/{number}")

    @property
    def failing(self) -> bool:
        """Whether it is not ready for a reason that time alone does not heal."""
        return bool(self.reason) and not self.ready

    @property
    def sidecar_pid(self) -> int | None:
        """Process id of the sidecar while it runs."""
        return self._sidecar.child.pid if self._sidecar.child is not None else None

    @property
    def metrics_url(self) -> str:
        """Where the sidecar that runs now serves its metrics, when it was asked to."""
        return f"http://127.0.0.1:{self._port}/metrics"

    @property
    def pids(self) -> list[int]:
        """Process ids of what runs."""
        return [kept.child.pid for kept in (self._sidecar, self._runtime) if kept.child is not None]

    async def drain(self) -> None:
        """Stop: the sidecar finishes what runs and lets the runtime go; after the grace period both are killed."""
        self.draining, self.ready = True, False
        if self._before_drain is not None:
            await self._before_drain()
        self._runtime.let_go()
        self._sidecar.terminate()
        if not await self._sidecar.ended(self.plan.grace_seconds):
            self._sidecar.kill()
            await self._sidecar.ended(None)
        if not await self._runtime.ended(_FAREWELL_SECONDS):
            # It had not met the sidecar yet, so nobody told it.
            self._runtime.terminate()
        if not await self._runtime.ended(_RUNTIME_STOP_SECONDS):
            self._runtime.kill()
            await self._runtime.ended(None)
        self._close()

    async def kill(self) -> None:
        """End both processes now."""
        self.draining, self.ready = True, False
        for kept in (self._sidecar, self._runtime):
            kept.kill()
        for kept in (self._sidecar, self._runtime):
            await kept.ended(None)
        self._close()

    def _close(self) -> None:
        self._probing.cancel()
        self._log.close()

    def _line(self, source: str, text: str) -> None:
        if not self._log.closed:
            self._log.write(f"{source} {text}\n".encode())
            self._log.flush()
        self._show(source, text, self._was_ready)

    async def _probe(self) -> None:
        while not self.draining:
            self._note(*await self._look())
            ready = self.ready
            await asyncio.sleep(_READY_PROBE_SECONDS if ready else _PROBE_SECONDS)

    def _note(self, ready: bool, reason: str, notice: str = "") -> None:  # noqa: FBT001  they were seen together
        if not self.draining and (ready, reason, notice) != (self.ready, self.reason, self.notice):
            self.ready, self.reason, self.notice = ready, reason, notice
            self._was_ready = self._was_ready or ready
            self._on_change()

    async def _look(self) -> tuple[bool, str, str]:
        for kept in (self._sidecar, self._runtime):
            if kept.quick_ends >= _QUICK_ENDS:
                return False, kept.problem, ""
        if self._sidecar.child is None:
            return False, "", ""
        try:
            answer = await self._http.get(f"http://127.0.0.1:{self._port}/readyz", timeout=2.0)
            told = answer.json()
            problems = [problem for problem in told["problems"] if problem != told["awaiting"]]
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return False, "", ""
        return answer.status_code == httpx.codes.OK, "; ".join(problems), "; ".join(told["notices"])


def _free_port() -> int:
    """Return a loopback port that nobody has now; if somebody takes it first, the sidecar is started again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
