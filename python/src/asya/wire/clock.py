"""Times on the wire: RFC 3339, UTC, milliseconds. Whole seconds, as the public project writes them, are read too."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from asya.errors import WireError

# Formatting the date part costs more than the rest of a hop's bookkeeping; it changes once a second.
_last: tuple[int, str] = (0, "1970-01-01T00:00:00")


def format_time(seconds: float) -> str:
    """Write Unix seconds (UTC) as RFC 3339 with milliseconds."""
    global _last  # noqa: PLW0603  a cache of one entry; a race only formats twice
    milliseconds = int(seconds * 1000)
    whole = milliseconds // 1000
    second, text = _last
    if second != whole:
        text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        _last = (whole, text)
    return f"{text}.{milliseconds % 1000:03d}Z"


# A deadline is read before the call, for the call and after it.
@lru_cache(maxsize=256)
def parse_time(text: str) -> float:
    """Read an RFC 3339 time and return Unix seconds (UTC).

    Raises:
        WireError: Not RFC 3339, or without a time zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise WireError(f"{text[:64]!r} is not an RFC 3339 time") from None
    if moment.tzinfo is None:
        raise WireError(f"{text[:64]!r} has no time zone")
    try:
        return moment.astimezone(UTC).timestamp()
    except OverflowError:
        # The first or the last day there is, in a zone where UTC is in no year: it could not be written again.
        raise WireError(f"{text[:64]!r} is out of range") from None
