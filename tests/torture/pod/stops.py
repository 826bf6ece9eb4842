"""Stop at a step of a hop until the matrix says go on: what a process under test asks, and nothing else of it.

A process that has come to a step for the `every`-th time says so on a Unix socket and waits for an answer. Meanwhile
whoever listens may kill it, or somebody else. Standard library only: this is loaded into user code's process too.
"""

from __future__ import annotations

import os
import socket
from collections import Counter

_counts: Counter[str] = Counter()
_ADDRESS = os.environ.get("TEST_STOPS", "")
_EVERY = int(os.environ.get("TEST_STOPS_EVERY", "1"))
_WHO = os.environ.get("TEST_STOPS_WHO", "")


def reached(step: str) -> None:
    """Count one arrival at a step; block at each `every`-th."""
    if not _ADDRESS:
        return
    _counts[step] += 1
    if _counts[step] % _EVERY == 0:
        stop(step)


def stop(step: str) -> None:
    """Block until the other side has answered or is gone."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(_ADDRESS)
            connection.sendall(f"{_WHO} {step} {os.getpid()}\n".encode())
            connection.recv(1)
        except OSError:
            return  # the matrix has ended
