"""Ports of a Service on this machine, by kubectl; for as long as this process lives."""

from __future__ import annotations

import atexit
import socket
import subprocess

from tests.cluster.kubectl import Kubectl
from tests.cluster.plan import ClusterError
from tests.cluster.waiting import wait_until
from tests.support.host import free_port

_SECONDS = 30.0


class PortForward:
    """`ports` of loopback stand for the Service's, in their order. They stay the same when it is made anew."""

    def __init__(self, kubectl: Kubectl, namespace: str, what: str, *remote: int) -> None:
        self.ports = [free_port() for _ in remote]
        pairs = [f"{near}:{far}" for near, far in zip(self.ports, remote, strict=True)]
        self._command = kubectl.command(["port-forward", f"--namespace={namespace}", what, *pairs])
        self._process: subprocess.Popen[str] | None = None
        atexit.register(self.close)

    def keep(self) -> None:
        """Make it, if it is not there any more; return when the ports listen.

        Raises:
            ClusterError: kubectl ends, or does not listen in time.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self._process = started = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

        def listens() -> bool:
            if started.poll() is not None:
                raise ClusterError(f"kubectl port-forward: {started.communicate()[1].strip()}")
            return all(_listens(port) for port in self.ports)

        wait_until("forwarded ports", listens, _SECONDS)

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
