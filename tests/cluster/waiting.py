"""Waiting for a condition, with a bound and a reason."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.cluster.plan import ClusterError

PAUSE_SECONDS = 0.1


def wait_until(what: str, holds: Callable[[], bool], seconds: float, why_not: Callable[[], str] = str) -> None:
    """Return as soon as `holds` does; `why_not` is asked for the last words when it never did.

    Raises:
        ClusterError: `seconds` have passed, or `holds` itself says that there is no point in waiting.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not within {seconds:g} s\n{why_not()}".rstrip())
        time.sleep(PAUSE_SECONDS)
