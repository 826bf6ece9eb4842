"""Images of programs alone, written without a builder: one layer, an entrypoint, a user; as an OCI image layout."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# A registry on the same machine gains nothing from smaller blobs.
_COMPRESSION = 1
_MEDIA = "application/vnd.oci.image"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
USER = "65532:65532"


@dataclass(frozen=True)
class Image:
    """An image to be written: `files` maps paths in it (without a leading slash) to files and folders here."""

    name: str
    files: Mapping[str, Path]
    entrypoint: Sequence[str]
    key: str
    user: str = USER
    environment: Sequence[str] = field(default_factory=tuple)


def layout(image: Image, cache: Path) -> Path:
    """Return the image's layout in the cache, written if it is not there. It is complete or not there at all."""
    target = cache / f"{image.name.replace('/', '-')}-{image.key}"
    if target.exists():
        return target
    building = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(building, ignore_errors=True)
    (building / "blobs" / "sha256").mkdir(parents=True)
    plain = _tar(image)
    layer = _blob(building, gzip.compress(plain, _COMPRESSION, mtime=0), f"{_MEDIA}.layer.v1.tar+gzip")
    settings = {"Entrypoint": list(image.entrypoint), "User": image.user, "Env": list(image.environment)}
    config = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [_digest(plain)]},
    }
    described = _blob(building, json.dumps(config).encode(), f"{_MEDIA}.config.v1+json")
    media = f"{_MEDIA}.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": media, "config": described, "layers": [layer]}
    index = {"schemaVersion": 2, "manifests": [_blob(building, json.dumps(manifest).encode(), media)]}
    (building / "index.json").write_text(json.dumps(index))
    (building / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    shutil.rmtree(target, ignore_errors=True)
    building.rename(target)
    return target


def _tar(image: Image) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, path in sorted(image.files.items()):
            archive.add(path, name, filter=_normal)
    return content.getvalue()


def _normal(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The same bytes whoever writes them; readable for the image's user, also from a read-only cache of modules."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member


def _blob(folder: Path, content: bytes, media: str) -> dict[str, object]:
    digest = _digest(content)
    (folder / "blobs" / "sha256" / digest.removeprefix("sha256:")).write_bytes(content)
    return {"mediaType": media, "digest": digest, "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
