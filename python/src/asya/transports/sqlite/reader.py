"""Looking without touching: depths and dead letters over a read-only connection.

A reader never takes the write lock, so watching fifty queues each second costs the actors nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asya.transports.base import Depth
from asya.transports.naming import QueueNames
from asya.transports.sqlite.clock import Clock
from asya.transports.sqlite.schema import connect_read_only, explain

# `total` is kept by the writers; only what is leased or delayed is counted, and the primary key leads straight to it.
_DEPTH = """
SELECT q.name, q.total, d.total,
       (SELECT count(*) FROM messages WHERE queue = q.id AND due > :now AND token != 0),
       (SELECT count(*) FROM messages WHERE queue = q.id AND due > :now AND token = 0),
       (SELECT min(due) FROM messages WHERE queue = q.id)
FROM queues q JOIN queues d ON d.id = q.dead
WHERE q.namespace = :namespace
"""
_DEAD = """
SELECT b.body FROM messages m JOIN bodies b ON b.id = m.id
WHERE m.queue = (SELECT id FROM queues WHERE name = ? AND dead IS NULL) ORDER BY m.due, m.id LIMIT ?
"""


class Reader:
    """A read-only view of one namespace in a database. Blocking; use it from one thread at a time.

    Raises:
        TransportError: The database does not exist or cannot be read.
    """

    def __init__(self, path: Path, names: QueueNames) -> None:
        self._path = path
        self._names = names
        self._connection = connect_read_only(path)

    def depth(self, actors: Sequence[str]) -> dict[str, Depth]:
        """Count messages per queue with one query; an actor without a queue is left out."""
        now = self._now()
        rows = self._query(_DEPTH, {"now": now, "namespace": self._names.namespace})
        found: dict[str, Any] = {name: counts for name, *counts in rows}
        depths: dict[str, Depth] = {}
        for actor in actors:
            counts = found.get(self._names.queue(actor))
            if counts is None:
                continue
            total, dead, in_flight, delayed, oldest = counts
            ready = total - in_flight - delayed
            age = max(0.0, now - oldest) if ready else None
            depths[actor] = Depth(ready=ready, in_flight=in_flight, delayed=delayed, dead=dead, oldest_seconds=age)
        return depths

    def dead_letters(self, actor: str, limit: int) -> list[bytes]:
        """Read up to `limit` bodies of the actor's dead-letter queue, oldest first."""
        return [body for (body,) in self._query(_DEAD, (self._names.dead_letters(actor), limit))]

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _now(self) -> float:
        try:
            return Clock(self._connection).now()
        except sqlite3.Error as error:
            raise explain(error, self._path) from error

    def _query(self, sql: str, values: dict[str, object] | tuple[object, ...]) -> list[Any]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise explain(error, self._path) from error
