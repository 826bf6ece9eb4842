"""Durations as people write them: ``250ms``, ``600s``, ``1h30m``.

Source of the grammar: Go's `time.ParseDuration`, the spelling of Kubernetes and of the public project's manifests.
"""

from __future__ import annotations

import re

from asya.errors import PolicyError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"


def parse_duration(text: str) -> float:
    """Read a duration such as ``1h30m`` and return seconds.

    Raises:
        PolicyError: Not a sum of numbers with the units ms, s, m, h.
    """
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise PolicyError(f"{text!r} is not a duration; write for example 500ms, 30s, 5m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def format_duration(seconds: float) -> str:
    """Write seconds the way `parse_duration` reads them, in the largest exact unit (milliseconds at the finest)."""
    milliseconds = round(seconds * 1000)
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"
