"""Metrics that are announced before a handler counts them: the JSON of `ASYA_CUSTOM_METRICS`."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")


class CustomMetric(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One announced metric; `name` without `asya_handler_`, `buckets` upper bounds of a histogram."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str = ""
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_decode = msgspec.json.Decoder(tuple[CustomMetric, ...]).decode


def from_json(text: str) -> tuple[CustomMetric, ...]:
    """Read the setting.

    Raises:
        ValueError: Not such JSON, a name that cannot be one, a name twice, or buckets that do not rise.
    """
    found = _decode(text)
    names = [metric.name for metric in found]
    words = [*names, *(label for metric in found for label in metric.labels)]
    if len(set(names)) < len(names) or not all(NAME.fullmatch(word) for word in words):
        raise ValueError(text)
    for metric in found:
        rising = sorted(set(metric.buckets)) == list(metric.buckets)
        if not rising or (metric.buckets and metric.type != "histogram"):
            raise ValueError(text)
    return found
