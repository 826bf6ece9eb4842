"""Build the images of this repository with Docker or buildah, whichever is there: `python tools/images.py NAME...`.

Each image is written as an archive (docker-archive) that `crossplane xpkg build`, `ctr images import` and `docker load`
read. A base other than the Dockerfile's is taken as it lies in the builder's store and never fetched.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "images"
REGISTRY = "ghcr.io/asya"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


class BuildError(Exception):
    """An image or a package cannot be built; the message is for people."""


@dataclass(frozen=True, slots=True)
class Image:
    """One image: its Dockerfile, and the arguments by which images of one Dockerfile differ."""

    name: str
    dockerfile: str
    arguments: Mapping[str, str] = field(default_factory=dict)


IMAGES = {
    image.name: image
    for image in (
        Image("function-asya", "crossplane/composer/Dockerfile"),
        Image("asya-sidecar", "sidecar/Dockerfile"),
        Image("asya-crew", "python/Dockerfile", {"PART": "crew"}),
        Image("asya-operator", "python/Dockerfile", {"PART": "operator"}),
    )
}


@dataclass(frozen=True, slots=True)
class Builder:
    """A program that builds images. `store` are buildah's options that say where it keeps them."""

    program: str
    store: Sequence[str] = ()

    def commands(self, image: Image, tag: str, target: Path, architecture: str, base: str | None) -> list[list[str]]:
        """Return the commands that build an image and write it to `target`."""
        words = ["--file", image.dockerfile, "--platform", f"linux/{architecture}"]
        for name, value in {**image.arguments, **({"BASE": base} if base else {})}.items():
            words += ["--build-arg", f"{name}={value}"]
        if self.program == "docker":
            return [["docker", "build", *words, "--tag", tag, "."], ["docker", "save", "--output", str(target), tag]]
        buildah = ["buildah", *self.store]
        # chroot asks for no more than a plain machine gives; layers keep what is installed from a lock, as Docker does.
        words += ["--isolation", "chroot", "--layers", *(["--pull-never"] if base else [])]
        return [
            [*buildah, "build", *words, "--tag", tag, "."],
            [*buildah, "push", tag, f"docker-archive:{target}:{tag}"],
        ]


def builder(environ: Mapping[str, str]) -> Builder | None:
    """Return Docker where its daemon answers, else buildah, else None.

    `ASYA_BUILDAH_OPTIONS` are buildah's global options, such as where its store is.
    """
    if shutil.which("docker"):
        asked = subprocess.run(["docker", "version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return Builder("docker")
    if shutil.which("buildah"):
        return Builder("buildah", tuple(shlex.split(environ.get("ASYA_BUILDAH_OPTIONS", ""))))
    return None


def own_architecture() -> str:
    """Return this machine's architecture as images name it."""
    machine = platform.machine()
    return _MACHINES.get(machine, machine)


def build(image: Image, made_by: Builder, version: str, architecture: str, base: str | None, folder: Path) -> Path:
    """Build one image and return its archive.

    Raises:
        BuildError: The builder failed; it has said why on standard error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{image.name}-{architecture}.tar"
    target.unlink(missing_ok=True)  # buildah does not write over an archive
    for command in made_by.commands(image, f"{REGISTRY}/{image.name}:{version}", target, architecture, base):
        if subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False).returncode:
            raise BuildError(f"{image.name}: `{shlex.join(command)}` failed")
    return target


def main() -> int:
    """Build the images that are named, or all."""
    from packages_content import version

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(IMAGES)}; all of them when none is named")
    parser.add_argument("--base", help="base image in the builder's store, instead of the Dockerfiles' own")
    parser.add_argument("--architecture", default=own_architecture(), help="amd64 or arm64 (default: this machine's)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where archives go (default: build/images)")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(IMAGES)):
        parser.error(f"no image is named {', '.join(unknown)}")
    made_by = builder(os.environ)
    if made_by is None:
        print("neither a Docker daemon nor buildah is here: no image can be built", file=sys.stderr)
        return 1
    try:
        for name in options.names or IMAGES:
            print(build(IMAGES[name], made_by, version(), options.architecture, options.base, options.folder))
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
