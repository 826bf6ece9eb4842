"""Where in a manifest something stands."""

from __future__ import annotations

Path = tuple[str | int, ...]
"""Names of fields and numbers of entries, from the document down."""


def path_text(path: Path) -> str:
    """Write a path as people do: ``spec.env[0].name``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
