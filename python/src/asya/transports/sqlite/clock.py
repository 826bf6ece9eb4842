"""The database's clock: Unix seconds that only grow, whatever is done to the machine's wall clock.

Every time in the tables is one of this clock's. It goes on from the wall clock as it was when the database was first
opened after the machine started, and from there counts the time since then (CLOCK_BOOTTIME, time asleep included),
which nobody can set. So a wall clock that is set moves neither delays nor leases.

A restart of the machine begins the count anew. If the wall clock was set back meanwhile, the clock goes on from the
latest time in `messages.since`: what is waiting stays deliverable, a delay begins anew at worst, and after a jump ahead
it ends early. All leases end, because their holders ended with the machine.

Where a kernel tells no boot id (macOS), the wall clock itself is used: one that is set back makes messages wait until
it has caught up.
"""

from __future__ import annotations

import sqlite3
import time
from functools import lru_cache
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

TABLE: Final = "CREATE TABLE clock (boot TEXT NOT NULL, ahead REAL NOT NULL)"
"""One row: the boot that `ahead` belongs to, and how far the clock is ahead of the seconds since then."""


class Clock:
    """Tells the time of one database.

    Args:
        connection: An open database; read once. Without `anchor` since the machine started, the wall clock is used.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        row = connection.execute("SELECT ahead FROM clock WHERE boot = ?", (_boot(),)).fetchone()
        self._ahead: float | None = None if row is None else row[0]

    def now(self) -> float:
        """Return Unix seconds."""
        return time.time() if self._ahead is None else self._ahead + _elapsed()


def anchor(connection: sqlite3.Connection) -> None:
    """Have the clock go on in this boot; to be called within a transaction, before the first message is touched."""
    boot = _boot()
    if connection.execute("SELECT boot FROM clock").fetchone() == (boot,):
        return
    (latest,) = connection.execute("SELECT coalesce(max(since), 0.0) FROM messages").fetchone()
    connection.execute("DELETE FROM clock")
    connection.execute("INSERT INTO clock VALUES (?, ?)", (boot, max(time.time(), latest) - _elapsed()))
    connection.execute("UPDATE messages SET due = since, token = 0 WHERE token != 0")


@lru_cache(maxsize=1)
def _boot() -> str:
    """Return what tells this run of the machine from others; empty where the kernel does not say."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _elapsed() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) if _boot() else time.time()
