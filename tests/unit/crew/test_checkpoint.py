import asyncio
import errno
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asya.crew.checkpoint import Checkpoint, document_name, safe_name
from asya.crew.files import FolderStore
from asya.crew.settings import Bucket, Folder, parse_location

NOW = datetime(2040, 1, 2, 3, 4, tzinfo=UTC)


@given(st.text(min_size=1, max_size=400))
def test_any_id_is_one_file_name_that_a_file_system_takes(identifier: str) -> None:
    name = safe_name(identifier) + ".json"
    assert "/" not in name
    assert "\0" not in name
    assert not name.startswith(".")
    assert len(os.fsencode(name)) <= 255


@given(st.text(max_size=400), st.text(max_size=400))
def test_different_ids_have_different_names(one: str, other: str) -> None:
    assert (safe_name(one) == safe_name(other)) == (one == other)


@pytest.mark.parametrize(
    ("identifier", "name"),
    [("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"), ("..", "%2E."), ("a b", "a%20b"), ("a-b_c.d~1", "a-b_c.d~1")],
)
def test_names_of_ids_that_are_no_uuids(identifier: str, name: str) -> None:
    assert safe_name(identifier) == name


@pytest.mark.parametrize(
    ("updated_at", "date", "reason"),
    [
        ("2031-02-03T23:59:59.999Z", "2031-02-03", "the message's own time"),
        ("2031-02-03T23:30:00-01:00", "2031-02-04", "counted in UTC"),
        ("2031-02-03T23:30:00", "2040-01-02", "no zone: not a moment"),
        ("soon", "2040-01-02", "not a time"),
        (7, "2040-01-02", "not text"),
    ],
)
def test_date_of_a_document(message: dict[str, Any], updated_at: object, date: str, reason: str) -> None:
    message["status"]["updated_at"] = updated_at
    assert document_name(message, NOW).split("/")[1] == date, reason


def test_no_location_keeps_nothing(message: dict[str, Any]) -> None:
    assert asyncio.run(Checkpoint(None).keep(message)) is None


def test_the_same_message_again_replaces_its_document(message: dict[str, Any], tmp_path: Path) -> None:
    checkpoint = Checkpoint(Folder(tmp_path))
    first = asyncio.run(checkpoint.keep(message))
    message["payload"] = "second"
    assert asyncio.run(checkpoint.keep(message)) == first
    (document,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert '"payload":"second"' in document.read_text(encoding="utf-8")


def test_many_are_kept_side_by_side_in_folders_that_are_not_there_yet(message: dict[str, Any], tmp_path: Path) -> None:
    checkpoint = Checkpoint(Folder(tmp_path / "new"))

    async def keep_all() -> list[str | None]:
        return await asyncio.gather(*(checkpoint.keep({**message, "id": f"m{number}"}) for number in range(100)))

    names = asyncio.run(keep_all())
    assert sorted(path.name for path in (tmp_path / "new").rglob("*") if path.is_file()) == sorted(
        f"m{number}.json" for number in range(100)
    )
    assert all((tmp_path / "new" / str(name)).is_file() for name in names)


def test_a_write_that_fails_leaves_the_old_document_and_no_scraps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(tmp_path)
    store.put("failed/d/a.json", b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.put("failed/d/a.json", b"new")
    assert [path.read_bytes() for path in (tmp_path / "failed/d").iterdir()] == [b"old"]


def test_a_document_is_on_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d").mkdir()
    steps: list[str] = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(descriptor: int) -> None:
        kind = "folder" if Path(f"/proc/self/fd/{descriptor}").resolve().is_dir() else "file"
        steps.append(f"sync {kind}")
        real_sync(descriptor)

    def replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    FolderStore(tmp_path).put("d/a.json", b"{}")
    assert steps == ["sync file", "rename", "sync folder"]


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("file:///var/lib/asya", Folder(Path("/var/lib/asya"))),
        ("file://localhost/a%20b", Folder(Path("/a b"))),
        ("s3://kept", Bucket("kept", "")),
        ("s3://kept/a/b/", Bucket("kept", "a/b/")),
    ],
)
def test_locations(text: str, location: Folder | Bucket) -> None:
    assert parse_location(text) == location


@pytest.mark.parametrize("text", ["/var/lib", "file://host/x", "s3:///x", "s3://UPPER/x", "gs://b/x", "s3://b1/x?y=z"])
def test_no_locations(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_location(text)
