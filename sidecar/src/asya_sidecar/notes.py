"""What a handler notes about its own work: values for metrics, attributes for the span. Frame NOTES of the link."""

from __future__ import annotations

import logging

import msgspec

log = logging.getLogger("asya.link")

Value = str | int | float | bool | list[str | int | float | bool]
Note = tuple[str, str, Value, dict[str, str]]
"""`(verb, name, value, labels)`; verb is add, set, observe (metrics) or attribute (span)."""

_decode = msgspec.json.Decoder(list[Note]).decode


def read(body: bytes) -> list[Note]:
    """Return the notes of one call; none where they cannot be read, which costs a line in the log."""
    if not body:
        return []
    try:
        return _decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        log.warning("what a handler noted cannot be read: %s", error)
        return []
