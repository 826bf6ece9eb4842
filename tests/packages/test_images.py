"""The images: what they are built from is locked, and what runs in them may not be root."""

from __future__ import annotations

import re
from pathlib import Path

import images
import lock
import pytest
from images import IMAGES, Builder, Image

from asya.api.rules_pod import PLATFORM_FOLDERS

ROOT = images.ROOT


def text(image: Image) -> str:
    return (ROOT / image.dockerfile).read_text()


def locks(image: Image) -> set[str]:
    found = re.findall(r"-r requirements/(\S+)\.txt", text(image))
    return {name.replace("${PART}", image.arguments.get("PART", "")) for name in found}


@pytest.mark.parametrize("image", IMAGES.values(), ids=lambda image: image.name)
def test_everything_from_outside_is_locked(image: Image) -> None:
    assert locks(image) <= set(lock.LOCKS)
    assert "build" in locks(image)
    assert len(locks(image)) == 2
    for command in re.findall(r"pip (?:--python \S+ )?install [^&]*", text(image)):
        assert "--require-hashes" in command or "--no-index" in command, command


@pytest.mark.parametrize("image", IMAGES.values(), ids=lambda image: image.name)
def test_it_runs_as_the_user_that_the_pods_name(image: Image) -> None:
    last = text(image).rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (\S+)$", last, re.MULTILINE) == ["65532:65532"]
    assert "compileall" in text(image), "nothing can write bytecode into a read-only root"


@pytest.mark.parametrize("image", IMAGES.values(), ids=lambda image: image.name)
def test_what_is_copied_is_not_ignored(image: Image) -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for words in re.findall(r"^COPY (?!--from)(.+)$", text(image), re.MULTILINE):
        for source in words.split()[:-1]:
            matching = [each for each in kept if each.startswith(source) or source.startswith("requirements/")]
            assert matching, f"{source} is left out by .dockerignore"


@pytest.mark.parametrize("image", IMAGES.values(), ids=lambda image: image.name)
def test_nothing_lies_where_pods_mount_the_platforms_own(image: Image) -> None:
    """What an image had there would be hidden: the sidecar itself, or the crew's handlers."""
    targets = [words.split()[-1] for words in re.findall(r"^COPY --from=build (.+)$", text(image), re.MULTILINE)]
    assert targets
    assert [path for path in targets if any(f"{path}/".startswith(f"{own}/") for own in PLATFORM_FOLDERS)] == []


def test_the_commands_of_both_builders() -> None:
    image, target = IMAGES["asya-crew"], Path("a.tar")
    build, save = Builder("docker").commands(image, "x:1", target, "arm64", None)
    assert build[:4] == ["docker", "build", "--file", "python/Dockerfile"]
    assert build[4:8] == ["--platform", "linux/arm64", "--build-arg", "PART=crew"]
    assert save == ["docker", "save", "--output", "a.tar", "x:1"]
    build, push = Builder("buildah", ("--root", "/r")).commands(image, "x:1", target, "amd64", "own:1")
    assert build[:4] == ["buildah", "--root", "/r", "build"]
    assert {"--pull-never", "--layers"} <= set(build)
    assert "BASE=own:1" in build
    assert push == ["buildah", "--root", "/r", "push", "x:1", "docker-archive:a.tar:x:1"]


def test_the_charts_and_the_images_have_the_same_names() -> None:
    named = {
        name
        for path in (ROOT / "charts").glob("*/values.yaml")
        for name in re.findall(rf"repository: {re.escape(images.REGISTRY)}/(\S+)", path.read_text())
    }
    assert set(IMAGES) <= named
