"""The docs check finds what it is there for."""

from pathlib import Path

import check_docs
import pytest
from pages import read


def problems(tmp_path: Path, text: str, name: str = "page.md") -> list[str]:
    page = tmp_path / name
    page.write_text(text)
    return list(check_docs.check(read(page), {}))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[x](nowhere.md)", "no such file"),
        ("# Here\n[x](#there)", "no such heading"),
        ('<img src="lost.svg">', "no such file"),
        ("<!-- file: Makefile -->\n```make\nnot in it\n```", "differs from Makefile"),
        ("<!-- file: no/such/file.py -->\n```python\n1\n```", "does not exist"),
        ("```sh\nmake nonsense\n```", "no nonsense"),
        ("run `make nonsense` now", "no nonsense"),
        ("```sh\nasya fly-to-the-moon\n```", "no command `asya fly-to-the-moon`"),
        ("```sh\nasya validate --no-such-option .\n```", "no option --no-such-option"),
        ("```sh\nasya send 'x\n```", "No closing quotation"),
        ("`ASYA_NO_SUCH" + "_THING`", "is not read anywhere"),
    ],
)
def test_a_wrong_page_is_named(tmp_path: Path, text: str, says: str) -> None:
    found = problems(tmp_path, text)
    assert len(found) == 1
    assert says in found[0]


@pytest.mark.parametrize(
    "text",
    [
        "# Two words\n[x](#two-words)",
        "# `code` and *more*\n[x](#code-and-more)",
        "# A\n# A\n[x](#a-1)",
        "`[x](nowhere.md)` is how a link is written",
        "```text\n[x](nowhere.md)\n```",
        "<!-- file: Makefile -->\n```make\n.DEFAULT_GOAL := help\n```",
        "```console\n$ make help\nasya nonsense, which is output\n```",
        "```sh\nPYTHON=python3 make help  # a remark\n```",
        "```sh\nasya validate . && echo fine\n```",
        "[elsewhere](https://example.org/nowhere)",
    ],
)
def test_a_right_page_passes(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, text) == []


def test_the_readme_has_a_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(check_docs, "ROOT", tmp_path)
    monkeypatch.setattr(check_docs, "_variables", frozenset)
    assert problems(tmp_path, "\n" * check_docs.README_LINES, "README.md") == []
    assert "at most" in problems(tmp_path, "\n" * (check_docs.README_LINES + 1), "README.md")[0]


def test_a_page_that_nobody_links_to_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(check_docs, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    for name, text in {"README.md": "[x](docs/found.md#there)", "docs/found.md": "# There", "docs/lost.md": ""}.items():
        (tmp_path / name).write_text(text)
    pages = {path: read(path) for path in tmp_path.rglob("*.md")}
    assert check_docs.orphans(pages) == [tmp_path / "docs" / "lost.md"]
