"""The state folder of one `asya up`: everything it writes, in one place that can be removed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from asya.errors import AsyaError
from asya.local.server import ADDRESS_FILE

DEFAULT = Path(".asya")
# sun_path holds 108 bytes on Linux, 104 on macOS; what follows the folder is "/r99999/asya.sock".
_LONGEST_FOLDER = 80
_QUEUE, _TASKS, _STATUS, _LOGS = "queue.db", "tasks.db", "status.jsonl", "logs"
_METRICS, _RUN, _LOCK = "metrics", "run", "lock"


class StateFolder:
    """A state folder that is ours for as long as this process lives (or until `release`).

    Held by a lock on a file (flock(2)), which the system takes back however the process ends; so a folder left by a
    dead `asya up` is simply used again.
    """

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        """Take the folder, making it where it does not exist; `fresh` removes what earlier runs left.

        Raises:
            AsyaError: A living `asya up` has it, or it cannot be written.
        """
        self.path = path.absolute()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)  # messages and a token are in it
            self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise AsyaError(f"the state folder {path} cannot be used: {error.strerror}; give another --state") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._lock)
            raise AsyaError(
                f"the state folder {path} is in use by another `asya up` (pid {owner}); "
                "stop that one, or give another --state"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        (self.path / ADDRESS_FILE).unlink(missing_ok=True)
        self._clear_sockets()
        if fresh:
            self._remove_old()
        self.logs.mkdir(exist_ok=True)
        self._sockets = self._make_sockets()

    @property
    def queue(self) -> Path:
        """Database of the embedded queue."""
        return self.path / _QUEUE

    @property
    def tasks(self) -> Path:
        """Database of the task store."""
        return self.path / _TASKS

    @property
    def status(self) -> Path:
        """Record of replica counts, one JSON object a line."""
        return self.path / _STATUS

    @property
    def logs(self) -> Path:
        """Folder of the replicas' log files."""
        return self.path / _LOGS

    @property
    def metrics(self) -> Path:
        """Folder of what a Prometheus and a Grafana on this machine need."""
        return self.path / _METRICS

    def socket_dir(self, name: str) -> Path:
        """Make and return a folder for one replica's socket, short enough for a socket's path."""
        folder = self._sockets / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def release(self) -> None:
        """Give the folder back; what is worth keeping stays in it. Idempotent."""
        if self._lock < 0:
            return
        (self.path / ADDRESS_FILE).unlink(missing_ok=True)
        self._clear_sockets()
        os.close(self._lock)
        self._lock = -1

    def _make_sockets(self) -> Path:
        link = self.path / _RUN
        if len(os.fsencode(link)) <= _LONGEST_FOLDER:
            link.mkdir(mode=0o700)
            return link
        # Too deep for a socket: the folder is elsewhere, and found again through the link when we were killed.
        folder = Path(tempfile.mkdtemp(prefix="asya-"))
        link.symlink_to(folder, target_is_directory=True)
        return folder

    def _clear_sockets(self) -> None:
        link = self.path / _RUN
        if link.is_symlink():
            target = link.readlink()
            if target.name.startswith("asya-") and target.parent == Path(tempfile.gettempdir()):
                shutil.rmtree(target, ignore_errors=True)
            link.unlink()
        else:
            shutil.rmtree(link, ignore_errors=True)

    def _remove_old(self) -> None:
        for name in (_QUEUE, _TASKS, _STATUS):
            for path in self.path.glob(f"{name}*"):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    with contextlib.suppress(FileNotFoundError):
                        path.unlink()
        for folder in (self.logs, self.metrics):
            shutil.rmtree(folder, ignore_errors=True)
