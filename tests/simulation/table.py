"""The truth table, as the oracle reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

PATH: Final = Path(__file__).resolve().parents[1] / "truth-table.yaml"
ROWS: Final[dict[str, dict[str, Any]]] = {
    row["id"]: row
    for group in yaml.safe_load(PATH.read_text(encoding="utf-8")).values()
    if isinstance(group, list)
    for row in group
    if isinstance(row, dict)
}

IMPOSSIBLE: Final[dict[str, str]] = {}
"""Rows that cannot come about here, each with its reason."""


def phase(row: str) -> str | None:
    """Return the phase a row gives the message."""
    return ROWS[row].get("phase")


def reason(row: str) -> str | None:
    """Return the reason a row gives, None where it gives none or a choice."""
    found = ROWS[row].get("reason")
    return None if found is None or "|" in found else found
