"""Tables of the task store. Times are Unix seconds; JSON is kept as text."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from asya.errors import AsyaError

VERSION = 1

_TABLES = """
CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    parent_id TEXT REFERENCES tasks(id),
    actor TEXT NOT NULL,
    route TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    deadline_at REAL,
    progress REAL NOT NULL DEFAULT 0,
    result BLOB,
    error BLOB,
    partial INTEGER,
    cancel_asked INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX tasks_by_parent ON tasks(parent_id, created_at);
CREATE INDEX tasks_by_status ON tasks(status);

CREATE TABLE hops (
    task_id TEXT NOT NULL REFERENCES tasks(id),
    hop INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    actor TEXT NOT NULL,
    status TEXT NOT NULL,
    started_at REAL,
    ended_at REAL,
    duration_ms REAL,
    row_id TEXT,
    sent_to TEXT NOT NULL DEFAULT '[]',
    size_bytes INTEGER,
    delay_s REAL,
    error BLOB,
    instance TEXT NOT NULL DEFAULT '',
    deliveries INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (task_id, hop, attempt, actor)
) WITHOUT ROWID;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id TEXT NOT NULL REFERENCES tasks(id),
    type TEXT NOT NULL,
    data BLOB NOT NULL
);
CREATE INDEX events_by_task ON events(task_id, seq);
"""


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open a store that exists, for reading only."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    return connection


def connect(path: Path) -> sqlite3.Connection:
    """Open the store, making its tables when the file is new. One process writes; the connection may change threads.

    Raises:
        AsyaError: The file was made by another version of the store.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    # A report is answered when it is durable, so a commit waits for the disk.
    connection.execute("PRAGMA synchronous = FULL")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
    elif version != VERSION:
        connection.close()
        raise AsyaError(
            f"{path} has version {version}, this program writes {VERSION}; start with --fresh or another --state"
        )
    return connection
