"""Size of the composition function's image, as `make images` or `make packages` has built it."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "build" / "images"
MIB = 1024 * 1024


def own_layer(name: str, folder: Path = FOLDER) -> float | None:
    """Return the size of what an image adds to its base, uncompressed, in MiB; None when it is not built here.

    The Dockerfiles' last stage copies once onto the base, so it is the last layer.
    """
    archives = sorted(folder.glob(f"{name}-*.tar"), key=lambda path: path.stat().st_mtime)
    if not archives:
        return None
    with tarfile.open(archives[-1]) as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        last = json.load(manifest)[0]["Layers"][-1]
        layer = archive.getmember(last)
        return (archive.getmember(layer.linkpath.removeprefix("../")) if layer.issym() else layer).size / MIB
