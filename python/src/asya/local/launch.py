"""Become another program that cannot outlive the process that started it.

Run as a script, with the standard library only: ``python -I -S launch.py PARENT_PID PROGRAM [ARGUMENT...]``. Linux
kills the program when its parent ends, however that ends (prctl(2), PR_SET_PDEATHSIG; kept by execve). Elsewhere the
program is started all the same: a runtime without a sidecar stops by itself, a sidecar has to be stopped.
"""

from __future__ import annotations

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent and become the program that the arguments name."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415  only where it is used

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(1)  # it ended before the call above, so nobody would tell us
    os.execvp(program[0], program)  # noqa: S606  this is what the module is for


if __name__ == "__main__":
    main()
