"""No tracked file names a registry or a machine."""

from pathlib import Path

import check_tracked
import pytest

HOST = "pypi" + ".org"


@pytest.mark.parametrize(
    "line",
    [
        f"https:/{'/'}{HOST}/simple",
        "files.pythonhosted" + ".org",
        "/" + "home/somebody/project",
        "/" + "root/project",
        "see /srv/checkouts/mesh/README.md",
    ],
)
def test_it_is_found(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_tracked, "ROOT", Path("/srv/checkouts/mesh"))
    assert next(check_tracked.check("file.txt", f"fine\n{line}\n".encode())).startswith("file.txt:2: ")


@pytest.mark.parametrize("line", ["https://example.org/simple", "a/home/page", "/var/run/asya", "~/project", "\\xff"])
def test_other_text_passes(line: str) -> None:
    assert list(check_tracked.check("file.txt", line.encode())) == []


def test_pictures_are_passed_over() -> None:
    assert list(check_tracked.check("picture.png", b"\x89PNG\xff" + HOST.encode())) == []
