"""The trace of every message as a table that can be unfolded."""

from __future__ import annotations

from html import escape

from demonstration.photos import Photo, PhotosRun
from demonstration.recording import Hop
from demonstration.table import table

_DESTINATIONS_SHOWN = 2


def trace_details(run: PhotosRun) -> str:
    """Return one block per picture; the first that was tried again is unfolded."""
    start = min(hop.started for trace in run.root.tree() for hop in trace.hops)
    shown = next((photo.name for photo in run.photos if any(hop.failed for hop in photo.trace.hops)), None)
    return "".join(
        _block(photo, start, kind="root" if photo.trace.id == run.root.id else "child", is_open=photo.name == shown)
        for photo in run.photos
    )


def _block(photo: Photo, start: float, *, kind: str, is_open: bool) -> str:
    hops = photo.trace.hops
    titles = ("hop", "actor", "attempt", "at", "took", "sent to", "outcome")
    rows = table(titles, [_row(hop, start) for hop in hops], marked=[i for i, hop in enumerate(hops) if hop.failed])
    about = f"{kind} <code>{escape(photo.trace.id)}</code>, {escape(photo.trace.status)}"
    return (
        f"<details{' open' if is_open else ''}><summary><b>{escape(photo.name)}</b> "
        f'<span class="soft">{about}</span></summary>'
        f'<div class="scroll">{rows}</div></details>'
    )


def _row(hop: Hop, start: float) -> tuple[object, ...]:
    to = ", ".join(sorted(set(hop.to))[:_DESTINATIONS_SHOWN])
    if len(hop.to) > 1:
        to += f" ({len(hop.to)} messages)"
    again = "" if hop.delay is None else f"; again in {hop.delay:.2f} s"
    outcome = f"{hop.row}: {hop.error}{again}" if hop.failed else hop.row
    return hop.hop, hop.actor, hop.attempt, f"{hop.started - start:.2f} s", f"{hop.seconds * 1000:.0f} ms", to, outcome
