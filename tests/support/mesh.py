"""Actors as real processes, without a supervisor of ours in between: what failure tests and benchmarks stand on.

A pod is one replica of one actor as a cluster runs it: a sidecar and a runtime process that share a socket folder.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.processes import Process, children

_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE")
NAMESPACE = "test"


def sqlite(path: Path, namespace: str = NAMESPACE, **more: str) -> dict[str, str]:
    """Settings of the embedded transport."""
    return {"ASYA_TRANSPORT": "sqlite", "ASYA_NAMESPACE": namespace, "ASYA_SQLITE_PATH": str(path), **more}


def rabbitmq(url: str, namespace: str = NAMESPACE, **more: str) -> dict[str, str]:
    """Settings of the RabbitMQ transport."""
    return {"ASYA_TRANSPORT": "rabbitmq", "ASYA_NAMESPACE": namespace, "ASYA_RABBITMQ_URL": url, **more}


def environment(*layers: Mapping[str, str]) -> dict[str, str]:
    """Of this process's environment only what any program needs; then the layers."""
    base = {name: os.environ[name] for name in _KEPT if name in os.environ}
    base["PYTHONUNBUFFERED"] = "1"
    for layer in layers:
        base.update(layer)
    return base


def runtime_file() -> Path:
    """Where asya_runtime.py lies, without importing it."""
    spec = importlib.util.find_spec("asya_runtime")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("asya_runtime.py is not installed in this environment")
    return Path(spec.origin)


@dataclass
class Pod:
    """One replica of one actor."""

    actor: str
    sidecar: Process
    runtime: Process
    sockets: Path

    async def start(self) -> None:
        """Start both, in no particular order: each waits for the other."""
        await asyncio.gather(self.sidecar.start(), self.runtime.start())

    async def stop(self, grace: float = 15.0) -> None:
        """Stop as Kubernetes does: the runtime is told first and serves until the sidecar is done."""
        await asyncio.gather(self.runtime.stop(grace), self.sidecar.stop(grace))
        shutil.rmtree(self.sockets, ignore_errors=True)

    def workers(self) -> list[int]:
        """Ids of the runtime's worker processes."""
        return children(self.runtime.pid)

    def kill_worker(self) -> int:
        """``kill -9`` the first worker of the runtime; the supervisor starts another. Returns its id."""
        pid = self.workers()[0]
        os.kill(pid, signal.SIGKILL)
        return pid

    @property
    def processes(self) -> tuple[Process, Process]:
        """Both."""
        return self.sidecar, self.runtime


@dataclass
class Mesh:
    """Pods that are stopped together; an async context manager."""

    folder: Path
    transport: Mapping[str, str]
    pods: list[Pod] = field(default_factory=list)

    def pod(
        self,
        actor: str,
        handler: str,
        *,
        modules: Sequence[Path] = (),
        sidecar: Mapping[str, str] | None = None,
        runtime: Mapping[str, str] | None = None,
        python: str = sys.executable,
        command: Sequence[str] = (sys.executable, "-m", "asya_sidecar"),
        restart: bool = True,
    ) -> Pod:
        """Make a pod, not yet started.

        `modules`: folders of the handler; `python`: the runtime's interpreter; `command`: how the sidecar is run.
        """
        # A Unix socket's path holds at most 107 bytes; a test's own folder can be deeper than that.
        sockets = Path(tempfile.mkdtemp(prefix="asya-"))
        name = f"{actor}-{len(self.pods)}"
        self.folder.mkdir(parents=True, exist_ok=True)
        shared = {"ASYA_SOCKET_DIR": str(sockets)}
        pod = Pod(
            actor=actor,
            sidecar=Process(
                f"sidecar {name}",
                command,
                environment(self.transport, shared, {"ASYA_ACTOR_NAME": actor}, sidecar or {}),
                self.folder / f"{name}-sidecar.log",
                restart=restart,
            ),
            runtime=Process(
                f"runtime {name}",
                [python, str(runtime_file())],
                environment(
                    shared,
                    {"ASYA_HANDLER": handler, "ASYA_HANDLER_PATH": os.pathsep.join(map(str, modules))},
                    runtime or {},
                ),
                self.folder / f"{name}-runtime.log",
                restart=restart,
            ),
            sockets=sockets,
        )
        self.pods.append(pod)
        return pod

    def check(self) -> None:
        """Raise what a pod's process failed with for good, if one did."""
        for pod in self.pods:
            for process in pod.processes:
                if process.failure is not None:
                    raise process.failure

    def tails(self) -> str:
        """The ends of all logs, for a failure's message."""
        return "\n".join(process.tail() for pod in self.pods for process in pod.processes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(pod.stop() for pod in self.pods))
