"""Images and packages that objects name, and which of them cannot change under their name."""

from __future__ import annotations

import re
from typing import Any

from tests.charts.scenarios import Manifest

# A tag that is a version, or a digest: never `latest`, a branch, or nothing.
PINNED = re.compile(r"[^:@\s]+(:[0-9]+)?(/[^:@\s]+)*:v?[0-9]+\.[0-9]+\.[0-9]+[^@\s]*(@sha256:[0-9a-f]{64})?")


def texts(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Return every text in a document, with its path."""
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in texts(item, f"{path}.{key}")]
    if isinstance(value, list):
        return [found for index, item in enumerate(value) for found in texts(item, f"{path}[{index}]")]
    return [(path, value)] if isinstance(value, str) else []


def images(manifest: Manifest) -> list[str]:
    """Return images and packages that an object names."""
    return [text for path, text in texts(manifest) if re.search(r"\.(image|package)$", path)]
