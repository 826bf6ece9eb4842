"""Looking without touching: depths and dead letters over a read-only connection.

A reader never takes the write lock, so watching fifty queues each second costs the actors nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asya.errors import NoDestinationError
from asya.transports.base import DeadLetter, Depth
from asya.transports.naming import QueueNames
from asya.transports.sqlite.clock import Clock
from asya.transports.sqlite.schema import connect_read_only, explain
from asya.transports.sqlite.store import DeadKey

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
SELECT m.queue, m.due, m.id, m.attempts, r.reason, b.body
FROM messages m JOIN bodies b ON b.id = m.id LEFT JOIN reasons r ON r.id = m.id
WHERE m.queue = ? AND (m.due, m.id) > (?, ?) ORDER BY m.due, m.id LIMIT ?
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

    def actors(self) -> dict[str, list[str]]:
        """Return the names of all actors that have a queue, by namespace."""
        found: dict[str, list[str]] = {}
        sql = "SELECT namespace, actor FROM queues WHERE dead IS NOT NULL ORDER BY namespace, actor"
        for namespace, actor in self._query(sql, ()):
            found.setdefault(namespace, []).append(actor)
        return found

    def dead_letter_queue(self, actor: str) -> int:
        """Return the id of the actor's dead-letter queue.

        Raises:
            NoDestinationError: There is none.
        """
        name = self._names.dead_letters(actor)
        rows = self._query("SELECT id FROM queues WHERE name = ? AND dead IS NULL", (name,))
        if not rows:
            raise NoDestinationError(actor=actor, queue=name)
        return int(rows[0][0])

    def dead_letters(self, actor: str, after: DeadKey, limit: int) -> list[DeadLetter]:
        """Read up to `limit` dead letters of the queue `after` names that come after it, oldest first."""
        return [
            DeadLetter(body, actor, DeadKey(queue, due, id_), reason=reason, attempts=attempts, since=due)
            for queue, due, id_, attempts, reason, body in self._query(_DEAD, (*after, limit))
        ]

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
