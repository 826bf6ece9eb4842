"""What everything that tests start here has in common: a free port, an end with ours, a package of Debian."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


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
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def die_with_parent() -> None:
    """Have this process killed when the thread that started it ends; for `preexec_fn`: one call, no lock."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


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
