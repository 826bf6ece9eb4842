"""Where a message is kept when its way ends: one JSON document per message, durable before the call returns.

Name of a document: ``{outcome}/{yyyy-mm-dd}/{id}.json``. It is a function of the message, so a message that is
delivered again writes the same document again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import quote

from asya.crew.files import FolderStore
from asya.crew.message import Message
from asya.crew.settings import Bucket, Folder

OUTCOMES = frozenset({"succeeded", "failed", "canceled", "paused"})
OTHER = "checkpoint"
# Linux allows 255 bytes in a file name; room is left for the ending and a temporary file's prefix.
_LONGEST_NAME = 180


class Store(Protocol):
    """Keeps documents by name; called from several threads at once."""

    def put(self, name: str, body: bytes) -> None:
        """Write or replace a document; when this returns it survives a crash.

        Raises:
            OSError: Or the store's own error; the document may or may not be there then, but never in parts.
        """


def open_store(location: Folder | Bucket) -> Store:
    """Return the store for `location`; the S3 client is imported only when it is needed."""
    if isinstance(location, Folder):
        return FolderStore(location.path)
    from asya.crew.s3 import BucketStore  # noqa: PLC0415  boto3 costs a third of a second and is an extra

    return BucketStore(location.name, location.prefix)


class Checkpoint:
    """Writes messages into a store; without one it does nothing.

    `now` returns the present time in UTC; it dates only messages that carry no time of their own.
    """

    def __init__(self, location: Folder | Bucket | None, *, now: Callable[[], datetime] | None = None) -> None:
        self._store = None if location is None else open_store(location)
        self._now = now or (lambda: datetime.now(UTC))

    async def keep(self, message: Message, *, outcome: str | None = None) -> str | None:
        """Write `message` in a thread and return the document's name, or None where no checkpoints are wanted.

        A failure is raised, never swallowed: the actor's policy retries it, and what fails for good goes to the sump.
        """
        if self._store is None:
            return None
        name = document_name(message, self._now(), outcome=outcome)
        await asyncio.to_thread(self._store.put, name, to_json(message).encode("utf-8", "surrogatepass"))
        return name


def to_json(message: Message) -> str:
    """Write `message` on one line.

    NaN is written as it came: the crew records what arrived, and refusing it here would lose the message.
    """
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def document_name(message: Message, now: datetime, *, outcome: str | None = None) -> str:
    """Return ``{outcome}/{date}/{id}.json``; the date is that of `status.updated_at`, in UTC, else of `now`."""
    phase = message["status"].get("phase")
    folder = outcome or (phase if isinstance(phase, str) and phase in OUTCOMES else OTHER)
    return f"{folder}/{_date(message, now)}/{safe_name(message['id'])}.json"


def safe_name(identifier: str) -> str:
    """Return `identifier` as one file name: percent-encoded, no leading dot, shortened with a digest when too long.

    Different identifiers give different names.
    """
    name = quote(identifier, safe="", errors="surrogatepass")
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(identifier.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{name[: _LONGEST_NAME - len(digest) - 1]}~{digest}"


def _date(message: Message, now: datetime) -> str:
    try:
        moment = datetime.fromisoformat(message["status"].get("updated_at", ""))
    except (TypeError, ValueError):
        moment = now
    if moment.tzinfo is None:
        moment = now
    return moment.astimezone(UTC).strftime("%Y-%m-%d")
