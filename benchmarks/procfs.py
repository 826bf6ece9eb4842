"""What a process tree used, from /proc: CPU time and resident memory (Linux)."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path

from tests.support.processes import children

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def tree(pid: int) -> list[int]:
    """A process and everything below it."""
    found = [pid]
    for child in children(pid):
        found += tree(child)
    return found


def cpu_seconds(pid: int) -> float:
    """User and system CPU time of a process and everything below it, in seconds (resolution 10 ms)."""
    total = 0
    for member in tree(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / _TICKS


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
