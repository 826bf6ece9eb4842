"""The message that every hop carries."""

from __future__ import annotations

import json

SIZE = 450
"""Bytes of the payload's JSON."""


def payload() -> bytes:
    """A small task as an AI pipeline would carry it: 450 bytes of JSON."""
    task = {
        "document": "s3://bucket/inbox/2026/11/21/000001.pdf",
        "language": "en",
        "pages": [1, 2, 3],
        "scores": {"quality": 0.93, "toxicity": 0.01},
        "text": "",
    }
    words = "A plain function receives this, thinks about it for no time at all, and hands it on to the next one. "
    missing = SIZE - len(json.dumps(task, separators=(",", ":")))
    task["text"] = (words * (missing // len(words) + 1))[:missing]
    body = json.dumps(task, separators=(",", ":")).encode()
    assert len(body) == SIZE
    return body
