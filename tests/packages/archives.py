"""What lies in a package that Crossplane's command line has built: an archive of an OCI image."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]


def objects(package: Path) -> list[Manifest]:
    """Return the objects in the stream `package.yaml`, the package's metadata first."""
    with tarfile.open(package) as archive:
        (image,) = json.loads(_member(archive, "manifest.json"))
        for name in image["Layers"]:
            with tarfile.open(fileobj=io.BytesIO(_member(archive, name))) as layer:
                if "package.yaml" in layer.getnames():
                    return [found for found in yaml.safe_load_all(_member(layer, "package.yaml")) if found]
    raise AssertionError(f"{package} has no package.yaml")


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None, name
    return file.read()
