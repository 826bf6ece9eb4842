"""What a release writes reaches every object: no version of before is left in what the charts render."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml
from pyhelm3 import Client
from tests.charts.images import images
from tests.charts.scenarios import CHARTS, ROOT, Manifest, copy_charts, render
from version_places import stated

VERSION = "9.8.7"
OURS = "ghcr.io/asya/"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The charts as `make release` would leave them."""
    folder = tmp_path_factory.mktemp("released")
    shutil.copytree(CHARTS, folder / "source", ignore=shutil.ignore_patterns("*.tgz"))
    spans = {(each.start, each.end, each.path) for each in stated(ROOT) if each.path.is_relative_to(CHARTS)}
    # From the end of each file, so that places stay where they were found.
    for start, end, place in sorted(spans, reverse=True):
        path = folder / "source" / place.relative_to(CHARTS)
        text = path.read_text()
        path.write_text(text[:start] + VERSION + text[end:])
    return copy_charts(folder, folder / "source")


def own_images(manifest: Manifest) -> list[str]:
    """Return our images, those that the composition and the crew's ConfigMap hand on included."""
    found = [image for image in images(manifest) if image.startswith(OURS)]
    if manifest["kind"] == "Composition":
        sidecar = manifest["spec"]["pipeline"][0]["input"]["sidecar"]
        found.append(f"{sidecar['repository']}:{sidecar['tag']}")
    if manifest["kind"] == "ConfigMap" and "actors.yaml" in manifest["data"]:
        found += [actor["spec"]["image"] for actor in yaml.safe_load_all(manifest["data"]["actors.yaml"])]
    return found


@pytest.mark.parametrize("transport", ["rabbitmq", "sqs", "pubsub"])
async def test_every_image_of_ours_moves(helm: Client, released: Path, transport: str) -> None:
    values = yaml.safe_load((released / "asya" / f"values-{transport}.yaml").read_text())
    found = await render(helm, released, "asya", values)
    named = {image for manifest in found for image in own_images(manifest)}
    assert {image.rpartition(":")[0].removeprefix(OURS) for image in named} == {
        "asya-crew",
        "asya-operator",
        "asya-sidecar",
        "function-asya",
    }
    assert {image.rpartition(":")[2] for image in named} == {VERSION}


@pytest.mark.parametrize("transport", ["rabbitmq", "sqs", "pubsub"])
async def test_nothing_says_the_version_of_before(helm: Client, released: Path, transport: str) -> None:
    before = re.escape(yaml.safe_load((CHARTS / "asya" / "Chart.yaml").read_text())["version"])
    values = yaml.safe_load((released / "asya" / f"values-{transport}.yaml").read_text())
    text = yaml.safe_dump_all(await render(helm, released, "asya", values))
    assert [line for line in text.splitlines() if re.search(rf"(?<![0-9.]){before}(?![0-9.])", line)] == []
