"""The processes of a cluster: started inside its namespaces, found again by other processes, stopped one by one."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.namespaces import Namespaces, children, started_at
from tests.cluster.plan import ClusterError
from tests.cluster.waiting import wait_until

_END_SECONDS = 20.0
_TAIL_LINES = 25


@dataclass(frozen=True)
class Http:
    """Ready when a GET is answered with 2xx. `authority`, `certificate` and `key` are PEM files for TLS."""

    url: str
    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def holds(self) -> bool:
        """Ask once."""
        context = None
        if self.authority is not None:
            context = ssl.create_default_context(cafile=str(self.authority))
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            with opener.open(self.url, timeout=2):
                return True
        except (OSError, urllib.error.URLError):
            return False


@dataclass(frozen=True)
class Listening:
    """Ready when something accepts connections at an address (TCP, or a Unix socket's path inside the cluster)."""

    host: str
    port: int

    def holds(self) -> bool:
        """Try once."""
        try:
            socket.create_connection((self.host, self.port), 1).close()
        except OSError:
            return False
        return True


@dataclass(frozen=True)
class Component:
    """A process of the cluster, as pure data: what it reads, how it is started, when it is ready."""

    name: str
    command: tuple[str, ...]
    ready: Http | Listening | None = None
    files: Mapping[Path, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_seconds: float = 60.0


class Processes:
    """The processes of one cluster."""

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self._plan = namespaces.plan
        self._folder = self._plan.state / "processes"
        self._own: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, component: Component) -> None:
        """Write its files and start it; it is not waited for. One that runs already is left alone."""
        if self.running(component.name):
            return
        for path, text in component.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._plan.logs / f"{component.name}.log").open("ab") as log:
            process = subprocess.Popen(
                self._namespaces.command(component.command),
                env={"PATH": os.environ.get("PATH", os.defpath), "HOME": "/root", **component.environment},
                cwd=self._plan.state,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._own[component.name] = process
        (self._folder / component.name).write_text(f"{process.pid} {started_at(process.pid)}\n")

    def wait(self, component: Component) -> None:
        """Wait until it is ready.

        Raises:
            ClusterError: It ended, or is not ready in time; with the end of its log.
        """
        if component.ready is None:
            return
        ready = component.ready

        def holds() -> bool:
            if not self.running(component.name):
                raise ClusterError(f"{component.name} ended\n{self.tail(component.name)}")
            with self._namespaces.network():
                return ready.holds()

        wait_until(f"{component.name} ready", holds, component.ready_seconds, lambda: self.tail(component.name))

    def names(self) -> list[str]:
        """Return the names of all that were started."""
        return sorted(path.name for path in self._folder.iterdir()) if self._folder.is_dir() else []

    def running(self, name: str) -> bool:
        """Whether it runs."""
        return self._holder(name) is not None

    def pid(self, name: str) -> int:
        """Return the machine's process id of the program itself.

        Raises:
            ClusterError: It does not run.
        """
        holder = self._holder(name)
        found = children(holder) if holder is not None else []
        if not found:
            raise ClusterError(f"{name} does not run in cluster {self._plan.name}")
        return found[0]

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End one and wait until it has ended. Nothing happens when it does not run.

        Raises:
            ClusterError: It does not end.
        """
        holder = self._holder(name)
        if holder is None:
            return
        os.kill(self.pid(name), number)
        wait_until(f"end of {name}", lambda: self._holder(name) is None, _END_SECONDS)
        (self._folder / name).unlink(missing_ok=True)

    def tail(self, name: str, lines: int = _TAIL_LINES) -> str:
        """Return the end of one's log."""
        log = self._plan.logs / f"{name}.log"
        if not log.exists():
            return f"{name} has no log in {self._plan.logs}"
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])

    def _holder(self, name: str) -> int | None:
        """The process that entered the namespaces and waits for the program, which has the same end."""
        if (mine := self._own.get(name)) is not None:
            mine.poll()  # else its end would leave a zombie
        try:
            pid, born = (int(word) for word in (self._folder / name).read_text().split())
        except (FileNotFoundError, ValueError):
            return None
        return pid if started_at(pid) == born else None
