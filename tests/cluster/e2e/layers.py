"""One layer of an image: files below /app."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path


def layer(files: Mapping[str, Path]) -> bytes:
    """Return a tar archive with the files, by their paths below /app, readable for everyone."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, path in sorted(files.items()):
            member = archive.gettarinfo(str(path), f"app/{name}")
            member.uid = member.gid = member.mtime = 0
            member.uname = member.gname = ""
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(path.read_bytes()))
    return content.getvalue()
