"""The namespaces that a cluster lives in: network, processes, mounts.

One process, the anchor, holds them. It is the first of its process namespace: when it ends, the kernel ends all others
in it, and with the last of them the mounts go. So nothing has to be remembered for taking a cluster down.

The network namespace has no interface but loopback and the pods' bridge, so no traffic can leave it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.cluster.plan import ClusterError, Plan
from tests.cluster.waiting import wait_until

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_END_SECONDS = 60.0
# Folders that programs insist on, each bound to one of the cluster's own.
BOUND = {"/var/lib/kubelet": "kubelet", "/var/lib/cni": "cni/state"}
# Folders whose contents on the machine are nobody's business in the cluster.
EMPTY = ("/run", "/var/log")


class Namespaces:
    """The namespaces of one cluster."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._pid_file = plan.state / "anchor.pid"

    @property
    def anchor(self) -> int | None:
        """Process id of the anchor; None when it does not run."""
        try:
            pid, born = (int(word) for word in self._pid_file.read_text().split())
        except FileNotFoundError:
            return None
        return pid if started_at(pid) == born else None

    def make(self, pause: Path) -> None:
        """Make the namespaces, with `pause` as the program that holds them.

        Raises:
            ClusterError: The machine does not allow it.
        """
        run(["ip", "netns", "add", self.plan.scope])
        run(["ip", "-n", self.plan.scope, "link", "set", "lo", "up"])
        self._start_anchor(pause)
        self._make_bridge()
        for folder in EMPTY:
            self.run(["mount", "-t", "tmpfs", "-o", "mode=755", "asya", folder])
        # What was mounted under /run before is hidden now; programs keep their locks and sockets there.
        self.run(["mkdir", "-p", "/run/lock", "/run/postgresql"])
        for folder, own in BOUND.items():
            Path(folder).mkdir(parents=True, exist_ok=True)
            (self.plan.state / own).mkdir(parents=True, exist_ok=True)
            self.run(["mount", "--bind", str(self.plan.state / own), folder])

    def command(self, words: Sequence[str]) -> list[str]:
        """Return the command that runs `words` inside."""
        if (anchor := self.anchor) is None:
            raise ClusterError(f"cluster {self.plan.name} is not up")
        return ["nsenter", f"--target={anchor}", "--mount", "--pid", "--net", "--ipc", "--uts", "--", *words]

    def run(self, words: Sequence[str]) -> str:
        """Run a command inside and return what it printed.

        Raises:
            ClusterError: It failed.
        """
        return run(self.command(words))

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """Let this thread use the cluster's network; sockets made meanwhile stay in it."""
        own = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
        try:
            _enter(self.plan.netns)
            yield
        finally:
            if _LIBC.setns(own, _CLONE_NEWNET):
                os.abort()  # never go on in a network that the caller does not expect
            os.close(own)

    def remove(self) -> None:
        """End everything inside and take the namespaces away. Nothing happens when there are none.

        Raises:
            ClusterError: Processes do not end.
        """
        if (anchor := self.anchor) is not None:
            os.kill(anchor, signal.SIGKILL)
            # The kernel lets the first process go only when all others of its namespace have gone.
            wait_until(f"end of process {anchor}", lambda: started_at(anchor) is None, _END_SECONDS)
        self._pid_file.unlink(missing_ok=True)
        if self.plan.netns.exists():
            run(["ip", "netns", "delete", self.plan.scope])

    def _start_anchor(self, pause: Path) -> None:
        words = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--ipc", "--uts", "--", str(pause)]
        with (self.plan.logs / "anchor.log").open("wb") as log:
            holder = subprocess.Popen(
                ["nsenter", f"--net={self.plan.netns}", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        found: list[int] = []

        def running() -> bool:
            if holder.poll() is not None:
                raise ClusterError(
                    f"no namespaces for processes and mounts: {(self.plan.logs / 'anchor.log').read_text().strip()}"
                )
            # Until it has become the program, it has not yet mounted its /proc either.
            found[:] = [pid for pid in children(holder.pid) if _is_program(pid, pause)]
            return bool(found)

        wait_until("start of the cluster's first process", running, 10.0)
        [anchor] = found
        self._pid_file.write_text(f"{anchor} {started_at(anchor)}\n")

    def _make_bridge(self) -> None:
        net = self.plan.network
        own = ["ip", "-n", self.plan.scope]
        run([*own, "link", "add", net.bridge, "type", "bridge"])
        run([*own, "addr", "add", f"{net.node}/{net.pods.rpartition('/')[2]}", "dev", net.bridge])
        run([*own, "link", "set", net.bridge, "up"])
        # Without a route the kernel refuses to send before kube-proxy's rules are asked.
        run([*own, "route", "add", net.services, "dev", net.bridge])
        self.run(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])


def run(words: Sequence[str], *, seconds: float = 60.0, data: str | None = None) -> str:
    """Run a command of the machine and return what it printed.

    Raises:
        ClusterError: It failed.
    """
    done = subprocess.run(words, input=data, capture_output=True, text=True, check=False, timeout=seconds)
    if done.returncode:
        raise ClusterError(f"`{' '.join(words)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def started_at(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since boot; None when it does not run (or is a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def children(pid: int) -> list[int]:
    """Return a process's children."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _is_program(pid: int, program: Path) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/exe").resolve() == program.resolve()
    return False


def _enter(netns: Path) -> None:
    try:
        other = os.open(netns, os.O_RDONLY)
    except FileNotFoundError:
        raise ClusterError(f"there is no network namespace {netns.name}; is the cluster up?") from None
    try:
        if _LIBC.setns(other, _CLONE_NEWNET):
            raise ClusterError(f"cannot enter {netns}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(other)
