"""Checkpoints as files."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


class FolderStore:
    """Documents as files below a folder, which is made when it is not there."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, body: bytes) -> None:
        """Write a file so that a crash leaves the old one or the new one, never a part.

        Raises:
            OSError: No space, no permission, not a folder.
        """
        target = self._root / name
        _make_folder(target.parent)
        # In the same folder, because a rename is atomic only within one file system.
        temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
        try:
            with temporary.open("xb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)


def _make_folder(folder: Path) -> None:
    """Make `folder` with its parents; each new one is written into its parent before anything is put into it."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for step in reversed(missing):
        step.mkdir(exist_ok=True)
        _sync_folder(step.parent)


def _sync_folder(folder: Path) -> None:
    """Make renames and new names in `folder` survive a power failure (POSIX: fsync of the directory)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
