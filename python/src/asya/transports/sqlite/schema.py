"""The database file: opening it, its tables, and what its errors mean.

A message is a small row in `messages` and its bytes in `bodies`, so that handing a message out or holding it longer
never rewrites the bytes. One column orders everything: `due` is when a message may next be handed out. For a waiting
message that is when its delay ends, for a leased one when its lease ends; nothing has to sweep up expired leases.
"""

from __future__ import annotations

import sqlite3
from itertools import chain
from pathlib import Path
from typing import Final

from asya.errors import DeniedError, RefusedError, TransportError
from asya.transports.sqlite import clock

APPLICATION_ID: Final = 0x61737961  # "asya" in ASCII, so that a foreign database is recognised
VERSION: Final = 3
BUSY_SECONDS: Final = 10.0
"""How long a transaction waits for other processes before it is refused."""

_REASONS: Final = "CREATE TABLE reasons (id INTEGER PRIMARY KEY, reason TEXT NOT NULL)"
"""Why a message is a dead letter; beside `messages`, whose rows are written at each hop."""
_TABLES: Final = (
    # `total` is kept by every transaction, because counting a long queue on each poll would cost more than its work.
    # AUTOINCREMENT: a queue that was dropped must not lend its id to another one.
    """CREATE TABLE queues (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        namespace TEXT NOT NULL,
        actor TEXT NOT NULL,
        dead INTEGER REFERENCES queues (id),
        delivery_limit INTEGER,
        total INTEGER NOT NULL DEFAULT 0
    )""",
    # `token` is 0 while nobody holds the message. `since`: when it was published, and, once it was handed out, when it
    # first could be; so never ahead of the clock. Times are those of `clock`.
    """CREATE TABLE messages (
        queue INTEGER NOT NULL REFERENCES queues (id),
        due REAL NOT NULL,
        id INTEGER NOT NULL,
        token INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        since REAL NOT NULL,
        PRIMARY KEY (queue, due, id)
    ) WITHOUT ROWID""",
    "CREATE TABLE bodies (id INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    clock.TABLE,
    _REASONS,
)
_UPGRADES: Final = {1: (clock.TABLE,), 2: (_REASONS,)}
"""By the version that a database has, what makes it the next one."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the database for writing and make its tables where it is new.

    Raises:
        TransportError: The folder is missing, or the file is no database of ours, or a newer one.
        DeniedError: The file may not be written.
        RefusedError: Other processes keep it locked, or the disk is full.
    """
    if not path.parent.is_dir():
        raise TransportError(f"the folder of the database {path} does not exist")
    try:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    except sqlite3.Error as error:
        raise explain(error, path) from error
    try:
        _prepare(connection, path)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise explain(error, path) from error
        raise
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open the database for reading; never waits for a writer, and never makes one wait.

    Raises:
        TransportError: No such database, nothing was ever declared in it, or a newer one.
    """
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise explain(error, path) from error
    try:
        version = _version_of(connection, path)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise explain(error, path) from error
        raise
    if version != VERSION:
        connection.close()
        if version:
            raise TransportError(f"{path} has schema version {version}; the next to send or receive makes it {VERSION}")
        raise TransportError(f"{path} is empty; nothing was declared in it yet")
    return connection


def explain(error: sqlite3.Error, path: Path) -> TransportError:
    """Turn what SQLite says into one of our errors; the reason is kept in its text."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the low byte is the primary result code
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return RefusedError(f"{path} was locked by another process for {BUSY_SECONDS:g} s")
    if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM}:
        return RefusedError(f"{path}: {error}")
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}:
        return DeniedError(f"{path}: {error}")
    return TransportError(f"{path}: {error}")


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    _version_of(connection, path)  # before anything is changed in a file that may not be ours
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute("PRAGMA synchronous = FULL")
    # After a burst the log is cut back to this size, in bytes.
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection, path)
        steps = [_TABLES] if version == 0 else [_UPGRADES[step] for step in range(version, VERSION)]
        for statement in chain.from_iterable(steps):
            connection.execute(statement)
        if version < VERSION:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        clock.anchor(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version_of(connection: sqlite3.Connection, path: Path) -> int:
    # One transaction: another process may make the tables between two reads, and half of it looks foreign.
    connection.execute("BEGIN")
    try:
        return _version(connection, path)
    finally:
        connection.execute("ROLLBACK")


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the schema version, 0 for a new file; refuse a database that is not ours or newer than this program."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if application != APPLICATION_ID and not empty:
        raise TransportError(f"{path} is a database of another program")
    if version > VERSION:
        raise TransportError(f"{path} has schema version {version}, this program reads {VERSION}; use a newer asya")
    return version
