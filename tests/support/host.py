"""What everything that tests start here has in common: a free port, an end with ours, a package of Debian."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

_FIRST_PORT, _DYNAMIC_PORTS = 16_000, 49_152
"""The second is where they begin when the kernel does not say (RFC 6335, section 6)."""
_given: set[int] = set()
"""Ports that this process has asked for."""


class NotInstalledError(Exception):
    """A program cannot be had here; the text says why, and what to do."""


class Started:
    """Something that runs from the beginning of a `with` to its end; `remove` leaves nothing of it behind."""

    def start(self) -> None:
        """Start it, and wait until it answers."""
        raise NotImplementedError

    def remove(self) -> None:
        """End it and delete its data."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def free_port() -> int:
    """Return a loopback port that was free a moment ago, another one at each call.

    It is none of those that the kernel gives to who connects: there are many, and one of them would be taken now and
    then before the server that the port is for has come so far as to listen.
    """
    while True:
        port = secrets.choice(_ports())
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port


@cache
def _ports() -> range:
    try:
        dynamic = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        dynamic = _DYNAMIC_PORTS
    return range(_FIRST_PORT, max(dynamic, _FIRST_PORT + 1_000))


def dies_with_parent(command: Sequence[str]) -> list[str]:
    """Return the command that runs this one, killed when the thread that starts it ends; its process id is the same.

    Not `preexec_fn`: Python would fork for it, and the child of a process that has used gRPC dies now and then of
    gRPC's own handlers of a fork. Without it, Python calls vfork(2), which runs no such handler.
    """
    return ["setpriv", "--pdeathsig=KILL", "--", *command]


def install(package: str, environ: Mapping[str, str], otherwise: str) -> None:
    """Install a package of Debian when allowed (CI=true or ASYA_TEST_INSTALL=1, as root), without starting its service.

    Raises:
        NotInstalledError: It may or could not be. `otherwise` is what else a person can do.
    """
    allowed = environ.get("CI") == "true" or environ.get("ASYA_TEST_INSTALL") == "1"
    apt = shutil.which("apt-get")
    if not allowed or os.geteuid() != 0 or apt is None:
        raise NotInstalledError(
            f"{package} is missing; install Debian's package of that name, set ASYA_TEST_INSTALL=1 (root on Debian), "
            f"or {otherwise}"
        )
    with tempfile.TemporaryDirectory() as folder:
        # The package starts the service when it is installed; a policy of 101 keeps it from doing so.
        policy = Path(folder) / "policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        quiet = {**environ, "DEBIAN_FRONTEND": "noninteractive", "POLICYRCD": str(policy), "RUNLEVEL": "1"}
        for command in ([apt, "update", "-q"], [apt, "install", "-qy", "--no-install-recommends", package]):
            done = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False, timeout=600)
            if done.returncode:
                raise NotInstalledError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}"[-2000:])
