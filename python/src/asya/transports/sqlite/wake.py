"""Wake-ups between processes: one Unix datagram socket per consumer, in a folder beside the database.

A socket is named after the queue it waits for, so a publisher finds whom to wake by the folder's listing alone.
A wake-up carries nothing; it may be lost when its sender dies right after its commit, so consumers also look by
themselves now and then.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
import socket
import time
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Final

from asya.errors import TransportError

log = logging.getLogger(__name__)

_LONGEST_FOLDER: Final = 64  # bytes; sun_path holds 104 on macOS, 108 on Linux, and a socket's name takes up to 40
_DESCRIPTORS: Final = Path("/proc/self/fd")
_TRUST_LISTING_AFTER: Final = 0.1  # seconds; a folder changed twice within one clock tick looks unchanged
_numbers = itertools.count()


def folder_of(database: Path) -> Path:
    """Where the sockets of a database's consumers are."""
    return database.with_name(database.name + "-wake")


class Bell:
    """A consumer's socket; readable when somebody rang."""

    def __init__(self, database: Path, queue: str) -> None:
        self._folder = _Folder(database)
        self.name = f"{_mark(queue)}.{os.getpid()}.{next(_numbers)}"
        self._path = self._folder.path / self.name
        self._socket = _datagram_socket()
        try:
            self._path.unlink(missing_ok=True)  # left by a dead process that had our id
            self._socket.bind(self._folder.address(self.name))
        except OSError as error:
            self._socket.close()
            self._folder.close()
            raise TransportError(f"no wake-up socket can be made in {self._folder.path}: {error}") from error

    def fileno(self) -> int:
        """Descriptor for the event loop."""
        return self._socket.fileno()

    def clear(self) -> None:
        """Take out all rings."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(16)

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()
        self._path.unlink(missing_ok=True)
        self._folder.close()


class Ringer:
    """Wakes the consumers of queues. Used by one thread."""

    def __init__(self, database: Path) -> None:
        self._folder = _Folder(database)
        self._socket = _datagram_socket()
        self._changed = -1
        self._bells: dict[str, list[str]] = {}
        self.own: set[str] = set()
        """Names of bells that need no ringing, because their consumers are served in the same transaction."""

    def ring(self, queues: Iterable[str]) -> None:
        """Wake everyone who waits for one of `queues`; a socket whose owner is gone is removed."""
        try:
            self._refresh()
            for queue in queues:
                for name in self._bells.get(_mark(queue), ()):
                    if name not in self.own:
                        self._ring(name)
        except OSError:
            log.warning("consumers could not be woken; they look by themselves soon", exc_info=True)

    def close(self) -> None:
        """Close the sending socket."""
        self._socket.close()
        self._folder.close()

    def _ring(self, name: str) -> None:
        try:
            self._socket.sendto(b"", self._folder.address(name))
        except BlockingIOError:
            pass  # it has rings waiting
        except ConnectionRefusedError:
            (self._folder.path / name).unlink(missing_ok=True)
        except FileNotFoundError:
            pass  # closed since the listing

    def _refresh(self) -> None:
        changed = self._folder.path.stat().st_mtime_ns
        if changed == self._changed:
            return
        listed = time.time_ns()
        bells: dict[str, list[str]] = {}
        for name in os.listdir(self._folder.path):  # noqa: PTH208  names are all that is needed
            bells.setdefault(name.partition(".")[0], []).append(name)
        self._bells = bells
        self._changed = changed if listed - changed > _TRUST_LISTING_AFTER * 1e9 else -1


class _Folder:
    """The folder of sockets, reachable by a path short enough for a socket's address."""

    def __init__(self, database: Path) -> None:
        self.path = folder_of(database)
        self._descriptor: int | None = None
        try:
            self.path.mkdir(exist_ok=True)
            self._reach = str(self.path)
            if len(os.fsencode(self._reach)) > _LONGEST_FOLDER:
                self._reach = self._short()
        except OSError as error:
            raise TransportError(f"no wake-up sockets can be kept in {self.path}: {error}") from error

    def address(self, name: str) -> str:
        """Where to bind or send to."""
        return f"{self._reach}/{name}"

    def close(self) -> None:
        """Let go of the folder."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _short(self) -> str:
        if not _DESCRIPTORS.is_dir():  # only Linux can name a folder by its descriptor
            raise TransportError(f"the path of {self.path} is too long for sockets; {_LONGEST_FOLDER} bytes at most")
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        return f"{_DESCRIPTORS}/{self._descriptor}"


def _datagram_socket() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made


@lru_cache(maxsize=1024)
def _mark(queue: str) -> str:
    return hashlib.blake2s(queue.encode(), digest_size=8).hexdigest()
