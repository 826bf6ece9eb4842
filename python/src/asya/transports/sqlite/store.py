"""What one transaction does to the tables. Synchronous, used by the writer thread only.

A method that raises `TransportError` has changed nothing, so the other operations of the same transaction stand.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from asya.errors import LeaseLostError, NoDestinationError, TransportError
from asya.transports.base import DELIVERY_LIMIT, Settle
from asya.transports.sqlite.clock import Clock

_MOVE = "UPDATE messages SET queue = ?, due = ?, token = 0 WHERE queue = ? AND due = ? AND id = ?"


class Queue(NamedTuple):
    """A row of `queues`; `dead` is the id of its dead-letter queue (None: it is one itself)."""

    id: int
    dead: int | None
    delivery_limit: int | None


class Posting(NamedTuple):
    """A message for a queue; `actor` is for the error's text, `delay` in seconds."""

    actor: str
    queue: str
    body: bytes
    delay: float


@dataclass(slots=True, eq=False)
class Lease:
    """The right to settle one message: where its row is, and the token written in it."""

    queue: str
    queue_id: int
    id: int
    due: float
    token: int


class Claim(NamedTuple):
    """A message handed out; `attempts` counts this delivery."""

    lease: Lease
    body: bytes
    attempts: int


class DeadKey(NamedTuple):
    """Where a dead letter's row is; ids alone are used again."""

    queue_id: int
    due: float
    id: int


@dataclass(frozen=True, slots=True)
class Declaration:
    """A queue and its dead-letter queue as they should be."""

    namespace: str
    actor: str
    queue: str
    dead_letters: str
    delivery_limit: int


class Store:
    """The tables, one transaction at a time: `begin`, any of the operations, then `commit` or `rollback`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute
        self.clock = Clock(connection)
        self._now = 0.0
        self._next_id = 0
        self._queues: dict[str, Queue | None] = {}
        self._totals: dict[int, int] = {}
        self._new_messages: list[tuple[int, float, int, float]] = []
        self._new_bodies: list[tuple[int, bytes]] = []
        self._gone: list[tuple[int]] = []
        self._extended: list[tuple[Lease, float]] = []
        self.touched: set[str] = set()
        """Names of the queues in which there may be something new to hand out."""

    def begin(self) -> None:
        """Take the write lock; waits for other processes."""
        self._execute("BEGIN IMMEDIATE")
        self._now = self.clock.now()
        self._next_id = self._execute("SELECT coalesce(max(id), 0) + 1 FROM bodies").fetchone()[0]
        self._queues.clear()
        self.touched.clear()

    def commit(self) -> None:
        """Write what was gathered and make it durable."""
        self._flush()
        if self._totals:
            changes = [(change, queue) for queue, change in self._totals.items() if change]
            self._connection.executemany("UPDATE queues SET total = total + ? WHERE id = ?", changes)
        self._execute("COMMIT")
        self._totals.clear()
        self._extended.clear()

    def rollback(self) -> None:
        """Undo everything since `begin`."""
        if self._connection.in_transaction:  # a full disk has rolled back by itself
            self._execute("ROLLBACK")
        for lease, due in reversed(self._extended):
            lease.due = due
        for gathered in (self._new_messages, self._new_bodies, self._gone, self._totals, self._extended, self.touched):
            gathered.clear()

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def queue(self, name: str) -> Queue | None:
        """Look up a queue; remembered until the transaction ends, because other processes may drop it."""
        try:
            return self._queues[name]
        except KeyError:
            row = self._execute("SELECT id, dead, delivery_limit FROM queues WHERE name = ?", (name,)).fetchone()
            found = self._queues[name] = None if row is None else Queue(*row)
            return found

    def require(self, actor: str, name: str) -> Queue:
        """Look up a queue that must be there.

        Raises:
            NoDestinationError: It is not, or is a dead-letter queue.
        """
        queue = self.queue(name)
        if queue is None or queue.dead is None:
            raise NoDestinationError(actor=actor, queue=name)
        return queue

    def publish(self, postings: Sequence[Posting]) -> None:
        """Add messages; all or none.

        Raises:
            NoDestinationError: Of the first message whose queue does not exist.
        """
        queues = [self.require(posting.actor, posting.queue).id for posting in postings]
        for queue, posting in zip(queues, postings, strict=True):
            self._new_messages.append((queue, self._now + posting.delay, self._next_id, self._now))
            self._new_bodies.append((self._next_id, posting.body))
            self._next_id += 1
            self._totals[queue] = self._totals.get(queue, 0) + 1
            self.touched.add(posting.queue)

    def complete(self, lease: Lease, postings: Sequence[Posting], settle: Settle, reason: str = "") -> None:
        """Publish and settle; `reason` is kept with a dead letter.

        Raises:
            NoDestinationError: As `publish`; the lease stands.
            LeaseLostError: Somebody else was given the message; nothing was published.
        """
        for posting in postings:
            self.require(posting.actor, posting.queue)
        match settle:
            case Settle.ACK:
                self._acknowledge(lease)
            case Settle.RELEASE:
                self._release(lease)
            case Settle.DEAD_LETTER:
                self._dead_letter(lease, reason)
        if postings:
            self.publish(postings)

    def extend(self, lease: Lease, seconds: float) -> None:
        """Let the lease end `seconds` from now.

        Raises:
            LeaseLostError: Somebody else was given the message.
        """
        due = self._now + seconds
        self._change("UPDATE messages SET due = ? WHERE queue = ? AND due = ? AND id = ? AND token = ?", lease, due)
        self._extended.append((lease, lease.due))
        lease.due = due

    def release_all(self, leases: Iterable[Lease]) -> None:
        """Give back what is still held; a lease that was lost already is no error here."""
        for lease in leases:
            try:
                self._release(lease)
            except LeaseLostError:
                continue

    def claim(self, name: str, count: int, lease_seconds: float) -> list[Claim]:
        """Hand out up to `count` messages, oldest first; fewer means that no more are due.

        A message that was handed out as often as its queue allows goes to the dead-letter queue instead.
        """
        queue = self.queue(name)
        claims: list[Claim] = []
        if queue is None or queue.delivery_limit is None:
            return claims
        self._flush()
        token = secrets.randbits(62) + 1
        until = self._now + lease_seconds
        while len(claims) < count:
            wanted = count - len(claims)
            rows = self._execute(
                "SELECT m.due, m.id, m.attempts, b.body FROM messages m JOIN bodies b ON b.id = m.id"
                " WHERE m.queue = ? AND m.due <= ? ORDER BY m.due, m.id LIMIT ?",
                (queue.id, self._now, wanted),
            ).fetchall()
            keys = []
            for due, id_, attempts, body in rows:
                if attempts >= queue.delivery_limit:
                    self._execute(_MOVE, (queue.dead, self._now, queue.id, due, id_))
                    self._count_moved(queue)
                    self._explain(id_, DELIVERY_LIMIT)
                    continue
                keys.append((until, token, queue.id, due, id_))
                claims.append(Claim(Lease(name, queue.id, id_, until, token), body, attempts + 1))
            self._connection.executemany(
                "UPDATE messages SET due = ?, since = CASE token WHEN 0 THEN due ELSE since END, token = ?,"
                " attempts = attempts + 1 WHERE queue = ? AND due = ? AND id = ?",
                keys,
            )
            if len(rows) < wanted:
                break
        return claims

    def next_due(self, name: str) -> float | None:
        """Say when the first message of a queue may be handed out, by `clock`; None: it is empty."""
        row = self._execute(
            "SELECT min(due) FROM messages WHERE queue = (SELECT id FROM queues WHERE name = ?)", (name,)
        ).fetchone()
        return None if row[0] is None else float(row[0])

    def declare(self, declarations: Sequence[Declaration]) -> None:
        """Make the queues that do not exist.

        Raises:
            TransportError: One exists with other properties; nothing was made.
        """
        missing = [wanted for wanted in declarations if not self._exists_as(wanted)]
        for wanted in missing:
            key = (wanted.namespace, wanted.actor)
            dead = self._execute(
                "INSERT INTO queues (name, namespace, actor) VALUES (?, ?, ?)", (wanted.dead_letters, *key)
            ).lastrowid
            self._execute(
                "INSERT INTO queues (name, namespace, actor, dead, delivery_limit) VALUES (?, ?, ?, ?, ?)",
                (wanted.queue, *key, dead, wanted.delivery_limit),
            )
            self.touched.add(wanted.queue)
        self._queues.clear()

    def drop(self, names: Iterable[str]) -> None:
        """Delete queues and their dead-letter queues with everything in them."""
        self._flush()
        for name in names:
            queue = self.queue(name)
            if queue is None or queue.dead is None:
                continue
            pair = (queue.id, queue.dead)
            for table in ("bodies", "reasons"):
                sql = f"DELETE FROM {table} WHERE id IN (SELECT id FROM messages WHERE queue IN (?, ?))"  # noqa: S608
                self._execute(sql, pair)
            self._execute("DELETE FROM messages WHERE queue IN (?, ?)", pair)
            self._execute("DELETE FROM queues WHERE id = ?", (queue.id,))
            self._execute("DELETE FROM queues WHERE id = ?", (queue.dead,))
            self._totals.pop(queue.id, None)
            self._totals.pop(queue.dead, None)
            self._queues[name] = None

    def redrive(self, dead: DeadKey, actor: str, name: str, body: bytes | None) -> None:
        """Move a dead letter to the actor's queue as if it had just been published; `body` replaces its bytes.

        Raises:
            NoDestinationError: There is no such queue any more.
            LeaseLostError: The dead letter is gone.
        """
        queue = self.require(actor, name)
        self._change_dead(
            "UPDATE messages SET queue = ?, due = ?, since = ?, attempts = 0 WHERE queue = ? AND due = ? AND id = ?",
            (queue.id, self._now, self._now, *dead),
        )
        self._execute("DELETE FROM reasons WHERE id = ?", (dead.id,))
        if body is not None:
            self._execute("UPDATE bodies SET body = ? WHERE id = ?", (body, dead.id))
        self._totals[dead.queue_id] = self._totals.get(dead.queue_id, 0) - 1
        self._totals[queue.id] = self._totals.get(queue.id, 0) + 1
        self.touched.add(name)

    def discard(self, dead: DeadKey) -> None:
        """Delete a dead letter.

        Raises:
            LeaseLostError: It is gone.
        """
        self._change_dead("DELETE FROM messages WHERE queue = ? AND due = ? AND id = ?", dead)
        self._execute("DELETE FROM reasons WHERE id = ?", (dead.id,))
        self._gone.append((dead.id,))
        self._totals[dead.queue_id] = self._totals.get(dead.queue_id, 0) - 1

    def _change_dead(self, sql: str, values: Sequence[float]) -> None:
        if self._execute(sql, values).rowcount != 1:
            raise LeaseLostError("the dead letter is gone; somebody else redrove or dropped it")

    def _exists_as(self, wanted: Declaration) -> bool:
        sql = "SELECT namespace, actor, dead IS NULL, delivery_limit FROM queues WHERE name = ?"
        for name, is_dead, limit in (
            (wanted.queue, 0, wanted.delivery_limit),
            (wanted.dead_letters, 1, None),
        ):
            row = self._execute(sql, (name,)).fetchone()
            if row is None:
                continue
            if row[:3] != (wanted.namespace, wanted.actor, is_dead):
                raise TransportError(f"the queue {name!r} belongs to actor {row[1]!r} of namespace {row[0]!r} already")
            if row[3] != limit:
                raise TransportError(f"the queue {name!r} exists with delivery limit {row[3]}, not {limit}")
            if not is_dead:
                return True
        return False

    def _acknowledge(self, lease: Lease) -> None:
        self._change("DELETE FROM messages WHERE queue = ? AND due = ? AND id = ? AND token = ?", lease)
        self._gone.append((lease.id,))
        self._totals[lease.queue_id] = self._totals.get(lease.queue_id, 0) - 1

    def _release(self, lease: Lease) -> None:
        # Given back on purpose is no failed attempt: the delivery limit counts consumers that die.
        self._change(
            "UPDATE messages SET due = since, token = 0, attempts = attempts - 1"
            " WHERE queue = ? AND due = ? AND id = ? AND token = ?",
            lease,
        )
        self.touched.add(lease.queue)

    def _dead_letter(self, lease: Lease, reason: str) -> None:
        queue = self.queue(lease.queue)
        if queue is None or queue.dead is None or queue.id != lease.queue_id:
            raise LeaseLostError(f"the queue {lease.queue!r} was dropped")
        self._change(f"{_MOVE} AND token = ?", lease, queue.dead, self._now)
        self._count_moved(queue)
        if reason:
            self._explain(lease.id, reason)

    def _explain(self, message: int, reason: str) -> None:
        self._execute("INSERT OR REPLACE INTO reasons VALUES (?, ?)", (message, reason))

    def _count_moved(self, queue: Queue) -> None:
        self._totals[queue.id] = self._totals.get(queue.id, 0) - 1
        if queue.dead is not None:
            self._totals[queue.dead] = self._totals.get(queue.dead, 0) + 1

    def _change(self, sql: str, lease: Lease, *values: float) -> None:
        key = (*values, lease.queue_id, lease.due, lease.id, lease.token)
        if self._execute(sql, key).rowcount != 1:
            raise LeaseLostError(f"message {lease.id} of {lease.queue!r} was given to somebody else")

    def _flush(self) -> None:
        if self._gone:
            self._connection.executemany("DELETE FROM bodies WHERE id = ?", self._gone)
            self._gone.clear()
        if self._new_messages:
            self._connection.executemany(
                "INSERT INTO messages (queue, due, id, since) VALUES (?, ?, ?, ?)", self._new_messages
            )
            self._connection.executemany("INSERT INTO bodies (id, body) VALUES (?, ?)", self._new_bodies)
            self._new_messages.clear()
            self._new_bodies.clear()
