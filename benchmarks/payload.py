"""The messages that every hop carries: the same bytes for all kinds, but for a number that tells them apart."""

from __future__ import annotations

import json
import re

SIZE = 450
"""Bytes of a small payload's JSON."""
MIB = 2**20
_NUMBER = b"/0000000.pdf"
FOUND = re.compile(rb"/(\d{7})\.pdf")
"""Finds the number in any body that holds a payload."""


def payload(size: int = SIZE) -> bytes:
    """A task as an AI pipeline would carry it: `size` bytes of JSON, 450 or more, with the number 0."""
    task = {
        "document": "s3://bucket/inbox/2026/11/21/0000000.pdf",
        "language": "en",
        "pages": [1, 2, 3],
        "scores": {"quality": 0.93, "toxicity": 0.01},
        "text": "",
    }
    words = "A plain function receives this, thinks about it for no time at all, and hands it on to the next one. "
    missing = size - len(json.dumps(task, separators=(",", ":")))
    task["text"] = (words * (missing // len(words) + 1))[:missing]
    body = json.dumps(task, separators=(",", ":")).encode()
    assert len(body) == size
    return body


def numbered(body: bytes, number: int) -> bytes:
    """Return the body with another number in its payload."""
    return body.replace(_NUMBER, b"/%07d.pdf" % number, 1)


def text(size: int) -> bytes:
    """The part of a payload that is the same in all of its size: who finds it in a body has the whole payload."""
    return json.dumps(json.loads(payload(size))["text"]).encode()
