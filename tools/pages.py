"""Read Markdown as far as the checks need it: headings and their anchors, links, fenced blocks. Lines count from 1."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^(`{3,})(\S*)\s*$")
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
_LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_HTML_LINK = re.compile(r"<(?:img|a|source)\b[^>]*?\b(?:src|href|srcset)=\"([^\"]+)\"")
_HTML_ANCHOR = re.compile(r"<a\s+id=\"([^\"]+)\"")
_FILE_MARK = re.compile(r"^<!--\s*file:\s*(\S+)\s*-->$")
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its text, the line of its fence, and the file it says it was taken from."""

    language: str
    text: str
    line: int
    file: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """One Markdown file."""

    path: Path
    lines: int
    anchors: frozenset[str]
    links: tuple[tuple[int, str], ...]
    blocks: tuple[Block, ...]
    prose: tuple[tuple[int, str], ...]


def read(path: Path) -> Page:
    """Read one page; an unclosed fence takes the rest of the file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    prose, blocks = _split(lines)
    anchors: list[str] = []
    links: list[tuple[int, str]] = []
    for number, line in prose:
        if heading := _HEADING.match(line):
            anchors.append(_unused(_slug(heading[1]), anchors))
        anchors += _HTML_ANCHOR.findall(line)
        bare = _CODE.sub("", line)
        links += [(number, target) for target in (*_LINK.findall(bare), *_HTML_LINK.findall(bare))]
    return Page(path, len(lines), frozenset(anchors), tuple(links), tuple(blocks), tuple(prose))


def _split(lines: list[str]) -> tuple[list[tuple[int, str]], list[Block]]:
    prose: list[tuple[int, str]] = []
    blocks: list[Block] = []
    number = 0
    while number < len(lines):
        fence = _FENCE.match(lines[number].strip())
        if fence is None:
            prose.append((number + 1, lines[number]))
            number += 1
            continue
        end = next((i for i in range(number + 1, len(lines)) if lines[i].strip() == fence[1]), len(lines))
        mark = _FILE_MARK.match(lines[number - 1].strip()) if number else None
        text = "".join(line + "\n" for line in lines[number + 1 : end])
        blocks.append(Block(fence[2], text, number + 1, mark[1] if mark else None))
        number = end + 1
    return prose, blocks


def _slug(heading: str) -> str:
    """Make the anchor of a heading the way GitHub does."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    text = re.sub(r"<[^>]+>", "", text).replace("`", "").replace("*", "")
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def _unused(slug: str, taken: list[str]) -> str:
    count = 0
    while (candidate := f"{slug}-{count}" if count else slug) in taken:
        count += 1
    return candidate
