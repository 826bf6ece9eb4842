"""What a process tree used, from /proc: CPU time and resident memory (Linux)."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path

from tests.support.processes import children

_PAGE = os.sysconf("SC_PAGE_SIZE")


def tree(pid: int) -> list[int]:
    """A process and everything below it."""
    found = [pid]
    for child in children(pid):
        found += tree(child)
    return found


def cpu_seconds(pid: int) -> float:
    """User and system CPU time of a process and everything that is alive below it, in seconds.

    The kernel's CPU clock of each process, which counts nanoseconds where /proc/PID/stat counts ticks of 10 ms.
    """
    total = 0.0
    for member in tree(pid):
        with contextlib.suppress(OSError):
            total += time.clock_gettime(~member << 3 | 2)  # clock_getcpuclockid(3), as the kernel numbers it
    return total


def flush_us(folder: Path, times: int = 100) -> float:
    """Microseconds of one ``fdatasync`` of 40 KiB in `folder`: what a durable commit cannot be faster than."""
    with tempfile.TemporaryFile(dir=folder) as file:
        begun = time.perf_counter()
        for _ in range(times):
            file.write(bytes(40 * 1024))
            file.flush()
            os.fdatasync(file.fileno())
        return round((time.perf_counter() - begun) / times * 1e6, 1)


def resident_mib(pid: int) -> float:
    """Resident memory of one process, in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 2**20


def proportional_mib(pid: int) -> float:
    """Memory of one process in MiB, where a page that several share counts for each with its part (PSS)."""
    return _kib(Path(f"/proc/{pid}/smaps_rollup"), "Pss") / 1024


def peak_mib(pid: int) -> float:
    """The most resident memory that one process has had so far, in MiB."""
    return _kib(Path(f"/proc/{pid}/status"), "VmHWM") / 1024


def descriptors(pid: int) -> int:
    """How many file descriptors one process holds."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _kib(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise ValueError(f"{path} has no {name}")
