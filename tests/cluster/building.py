"""Images and packages of this repository, built by its own tools with buildah and kept in the cache by what is in them.

buildah has a store of its own in the cache, and mounts of its own, which go when it ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.namespaces import run
from tests.cluster.plan import ROOT, ClusterError, Plan

SUITE = "bookworm"
PYTHON_VERSION = (3, 11)
"""That of the suite."""
# What the official images named python:…-slim have that a program in them may expect.
INCLUDED = ("python3", "python3-venv", "python-is-python3", "ca-certificates")
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_BUILD_SECONDS = 1800.0
_KEPT = 3
_IMAGE_SOURCES = ("python", "sidecar", "requirements", "tools/images.py")
_PACKAGE_SOURCES = (
    *("python", "crossplane", "requirements", "xrds", "compositions", "charts/asya-crossplane"),
    *("tools/images.py", "tools/packages.py", "tools/packages_content.py"),
)
_SKIPPED = {"__pycache__", "build", ".pytest_cache", "tests"}


class Builds:
    """What is built, in the cache of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._cache = plan.cache
        self._store = ("--storage-driver=overlay", f"--root={plan.cache / 'store'}", f"--runroot={plan.cache / 'run'}")

    def base(self) -> str:
        """Return the name of the base image in buildah's store, made by debootstrap if it is not there.

        It is Debian with its Python, so that the project's Dockerfiles build without a registry.
        """
        authorities = _AUTHORITIES.read_bytes() if _AUTHORITIES.exists() else b""
        words = " ".join((SUITE, *INCLUDED)).encode()
        name = f"localhost/asya-cluster/base:{hashlib.sha256(words + authorities).hexdigest()[:12]}"
        with self._locked("base"):
            if not self._has(name):
                self._make_base(name, authorities)
        return name

    def images(self, names: Sequence[str]) -> dict[str, Path]:
        """Return the layouts of images that `tools/images.py` knows, built where what they hold has changed."""
        base, found = self.base(), {}
        for name in names:
            target = self._cache / "images" / f"{name}-{_key(base, _IMAGE_SOURCES)}"
            with self._locked(name):
                if not target.exists():
                    archives = self._cache / "archives"
                    archive = self._tool("images.py", name, f"--base={base}", f"--folder={archives}").split()[-1]
                    self._copy(f"docker-archive:{archive}", target)
                    Path(archive).unlink()
                    _drop_older(target, name)
            found[name] = target
        return found

    def layout(self, image: str) -> Path:
        """Return the layout of an image in buildah's store."""
        target = self._cache / "images" / image.rpartition("/")[2].replace(":", "-")
        with self._locked("layout"):
            if not target.exists():
                self._copy(image, target)
        return target

    def packages(self) -> dict[str, Path]:
        """Return Crossplane's packages by name, built by `tools/packages.py` where what they hold has changed."""
        base = self.base()
        folder = self._cache / "packages" / _key(base, _PACKAGE_SOURCES)
        with self._locked("packages"):
            if not folder.exists():
                making = folder.with_name(f".{folder.name}.{os.getpid()}")
                self._tool("packages.py", f"--base={base}", f"--folder={making}")
                making.rename(folder)
                _drop_older(folder)
        return {path.stem.rpartition("-amd64")[0] or path.stem: path for path in folder.glob("*.xpkg")}

    def _make_base(self, name: str, authorities: bytes) -> None:
        print(f"making {name} with debootstrap", file=sys.stderr, flush=True)
        root = self._cache / f"base.{os.getpid()}"
        shutil.rmtree(root, ignore_errors=True)
        try:
            included = f"--include={','.join(INCLUDED)}"
            run(["debootstrap", "--variant=minbase", included, SUITE, str(root)], seconds=_BUILD_SECONDS)
            shutil.rmtree(root / "var" / "cache" / "apt", ignore_errors=True)
            shutil.rmtree(root / "var" / "lib" / "apt" / "lists", ignore_errors=True)
            # A network may have an authority of its own, which whatever installs in the image must know.
            (root / _AUTHORITIES.relative_to("/")).write_bytes(authorities)
            (root / "etc" / "pip.conf").write_text(f"[global]\ncert = {_AUTHORITIES}\n")
            (root / ".containerfile").write_text('FROM scratch\nCOPY . /\nENV LANG=C.UTF-8\nCMD ["python3"]\n')
            (root / ".dockerignore").write_text(".containerfile\n.dockerignore\nproc\nsys\ndev\n")
            self._buildah("build", f"--file={root / '.containerfile'}", f"--tag={name}", str(root))
        finally:
            shutil.rmtree(root, ignore_errors=True)

    def _has(self, name: str) -> bool:
        try:
            self._buildah("inspect", "--type=image", name)
        except ClusterError:
            return False
        return True

    def _copy(self, source: str, target: Path) -> None:
        making = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.rmtree(making, ignore_errors=True)
        making.parent.mkdir(parents=True, exist_ok=True)
        if source.startswith("docker-archive:"):
            source = self._buildah("pull", "--quiet", source).split()[-1]
        self._buildah("push", "--quiet", "--compression-format=gzip", source, f"oci:{making}")
        making.rename(target)

    def _buildah(self, *words: str) -> str:
        return run(["unshare", "--mount", "buildah", *self._store, *words], seconds=_BUILD_SECONDS)

    def _tool(self, script: str, *words: str) -> str:
        print(f"tools/{script} {' '.join(words)}", file=sys.stderr, flush=True)
        command = ["unshare", "--mount", sys.executable, str(ROOT / "tools" / script), *words]
        environment = {**os.environ, "ASYA_BUILDAH_OPTIONS": " ".join(self._store)}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=_BUILD_SECONDS
        )
        if done.returncode:
            raise ClusterError(f"tools/{script} failed:\n{(done.stdout + done.stderr)[-3000:]}")
        return done.stdout

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Let one process build at a time; the others find what it has built."""
        self._cache.mkdir(parents=True, exist_ok=True)
        with (self._cache / f".{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _drop_older(newest: Path, name: str = "") -> None:
    """Remove what was built before the last few of the same name: each change of the sources makes another one."""
    others = [path for path in newest.parent.glob(f"{name}-*" if name else "[!.]*") if path != newest]
    for path in sorted(others, key=lambda found: found.stat().st_mtime, reverse=True)[_KEPT - 1 :]:
        shutil.rmtree(path, ignore_errors=True)


def _key(base: str, tops: Sequence[str]) -> str:
    digest = hashlib.sha256(base.encode())
    for path in sources(tops):
        digest.update(f"{path.relative_to(ROOT)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def sources(tops: Sequence[str]) -> list[Path]:
    """Return the files under some of this repository's files and folders that can be part of what is built."""
    found = [ROOT / top for top in tops if (ROOT / top).is_file()]
    for top in tops:
        for folder, below, names in os.walk(ROOT / top):
            below[:] = [name for name in below if name not in _SKIPPED and not name.endswith(".egg-info")]
            found += [Path(folder) / name for name in names if not name.endswith((".pyc", ".tgz"))]
    return sorted(found)
