import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.oci import Image, layout


@pytest.fixture
def image(tmp_path: Path) -> Image:
    (tmp_path / "program").write_bytes(b"\x7fELF")
    (tmp_path / "program").chmod(0o500)
    (tmp_path / "crds").mkdir()
    (tmp_path / "crds" / "a.yaml").write_text("kind: A\n")
    (tmp_path / "crds" / "a.yaml").chmod(0o400)
    return Image("some/one", {"bin/program": tmp_path / "program", "crds": tmp_path / "crds"}, ["/bin/program"], "k1")


def blob(folder: Path, described: dict[str, Any]) -> bytes:
    content = (folder / "blobs" / "sha256" / described["digest"].removeprefix("sha256:")).read_bytes()
    assert hashlib.sha256(content).hexdigest() == described["digest"].removeprefix("sha256:")
    assert len(content) == described["size"]
    return content


def test_the_layout_holds_what_it_says(image: Image, tmp_path: Path) -> None:
    folder = layout(image, tmp_path / "cache")
    (described,) = json.loads((folder / "index.json").read_text())["manifests"]
    manifest = json.loads(blob(folder, described))
    config = json.loads(blob(folder, manifest["config"]))
    assert config["config"]["Entrypoint"] == ["/bin/program"]
    assert config["config"]["User"] == "65532:65532"
    plain = gzip.decompress(blob(folder, manifest["layers"][0]))
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(plain).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        found = {member.name: (oct(member.mode), member.uid) for member in archive if member.isfile()}
    assert found == {"bin/program": ("0o755", 0), "crds/a.yaml": ("0o644", 0)}, (
        "its user can read what root may not write"
    )


def test_the_same_files_make_the_same_image(image: Image, tmp_path: Path) -> None:
    first, second = (layout(image, tmp_path / name) for name in ("one", "other"))
    assert (first / "index.json").read_bytes() == (second / "index.json").read_bytes()


def test_what_is_in_the_cache_is_not_written_again(image: Image, tmp_path: Path) -> None:
    folder = layout(image, tmp_path / "cache")
    image.files["bin/program"].unlink()
    assert layout(image, tmp_path / "cache") == folder


def test_an_image_that_cannot_be_written_leaves_none(image: Image, tmp_path: Path) -> None:
    image.files["bin/program"].unlink()
    with pytest.raises(FileNotFoundError):
        layout(image, tmp_path / "cache")
    assert [path for path in (tmp_path / "cache").iterdir() if not path.name.startswith(".")] == []
