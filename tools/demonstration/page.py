"""The report: one HTML page that needs nothing but itself. Pure but for reading the pictures it embeds."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path
from statistics import median
from string import Template

from PIL import Image

from demonstration import charts, digits, photos
from demonstration.digits import DigitsRun
from demonstration.matrix import confusion, mistake
from demonstration.mesh import Queues
from demonstration.photos import Photo, PhotosRun
from demonstration.printed import PrintedRun
from demonstration.recording import Hop
from demonstration.table import table
from demonstration.traces import trace_details

HERE = Path(__file__).parent
MISTAKES_SHOWN = 30
FAILED = f'<span><i style="background:{charts.FAILED}"></i>attempt that failed</span>'
SERVED = '<p class="soft">As the demo did. Its server has ended with it: write the address of one of yours.</p>'
BACKLOG = '<span><i class="thin"></i>messages waiting or, where the transport tells, being worked on (own scale)</span>'


def render(run: PhotosRun, read: DigitsRun, printed: PrintedRun, queues: Queues) -> str:
    """Return the whole page for one run of all examples."""
    hops = [hop for trace in run.root.tree() for hop in trace.hops if hop.actor in photos.ACTORS]
    wrong = read.mistakes[:MISTAKES_SHOWN]
    return Template((HERE / "page.html").read_text(encoding="utf-8")).substitute(
        style=(HERE / "page.css").read_text(encoding="utf-8"),
        facts="".join(f"<li><b>{escape(number)}</b>{escape(text)}</li>" for number, text in _facts(run, read, hops)),
        transport=escape(queues.transport),
        served=SERVED if queues.variables else "",
        typed=escape(queues.typed("examples/photos")),
        gallery="".join(_figure(photo) for photo in run.photos),
        timeline_legend=_legend(photos.ACTORS) + FAILED,
        timeline=charts.timeline([(photo.name, photo.trace) for photo in run.photos], photos.ACTORS),
        replicas_legend=_legend(photos.ACTORS) + BACKLOG,
        replicas=charts.replicas(run.samples, photos.ACTORS),
        actors=_actors(run, hops),
        traces=trace_details(run),
        digits_text=_digits_text(read),
        digits_legend=_legend(digits.ACTORS) + BACKLOG,
        digits_replicas=charts.replicas(read.samples, digits.ACTORS),
        confusion=confusion(read.confusion),
        mistakes_title="Read wrongly" + (f", the first {len(wrong)}" if len(wrong) < len(read.mistakes) else ""),
        mistakes="".join(mistake(found) for found in wrong),
        printed_sources=escape("\n\n".join(source.strip() for source in printed.sources)),
        printed_result=escape(printed.result),
    )


def _facts(run: PhotosRun, read: DigitsRun, hops: list[Hop]) -> list[tuple[str, str]]:
    seconds = max(hop.ended for hop in hops) - min(hop.started for hop in hops)
    counts = [sum(sample.replicas.values()) for sample in run.samples]
    return [
        (f"{len(run.photos)} of {run.expected}", "photographs came through"),
        (f"{seconds:.1f} s", "from the first call to the last"),
        (f"{len(hops)}", f"calls; {sum(hop.failed for hop in hops)} failed and were tried again"),
        (f"{counts[0]} → {max(counts)} → {counts[-1]}", "replicas of the photo actors"),
        (f"{read.total / read.seconds:.0f} /s", f"digits read: {read.total} in {read.seconds:.1f} s"),
        (f"{read.accuracy:.1%}", "of the digits read rightly"),
    ]


def _figure(photo: Photo) -> str:
    failed = sum(hop.failed for hop in photo.trace.hops)
    retried = f'<span class="tag retry">tried {failed + 1} times</span>' if failed else ""
    with Image.open(photo.after) as after:
        size = after.size
    return (
        f'<figure><div class="pair"><img src="{_embed(photo.before, size)}" alt="{escape(photo.name)} before">'
        f'<img src="{_embed(photo.after, size)}" alt="{escape(photo.name)} after">'
        f"<span>before</span><span>after</span></div><figcaption><b>{escape(photo.name)}</b>"
        f'<span class="up">likeness {photo.likeness_before:.2f} → {photo.likeness_after:.2f}</span>'
        f'<span class="tag">blur {photo.blur:.2f} → {escape(" → ".join(photo.way))}</span>{retried}'
        "</figcaption></figure>"
    )


def _embed(path: Path, size: tuple[int, int]) -> str:
    """Return a picture as a data URL, in `size` (width, height)."""
    with Image.open(path) as picture:
        scaled = picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    written = io.BytesIO()
    scaled.save(written, format="JPEG", quality=84)
    return "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode()


def _actors(run: PhotosRun, hops: list[Hop]) -> str:
    rows = []
    for actor in photos.ACTORS:
        own = [hop for hop in hops if hop.actor == actor]
        times = [hop.seconds * 1000 for hop in own] or [0.0]
        most = max(sample.replicas.get(actor, 0) for sample in run.samples)
        failed = sum(hop.failed for hop in own)
        rows.append((actor, len(own), failed, most, f"{median(times):.0f}", f"{max(times):.0f}"))
    return table(("actor", "calls", "failed", "most replicas", "median ms", "longest ms"), rows, numbers_from=1)


def _digits_text(read: DigitsRun) -> str:
    processes = "One process" if read.processes == 1 else f"Each of {read.processes} processes"
    return (
        f"{read.total} pictures, one message each, in {read.calls} calls of a batch handler within "
        f"{read.seconds:.1f} s. {processes} loaded the model once. <b>{read.accuracy:.1%}</b> were read rightly, "
        "counted from the checkpoints that <code>x-sink</code> wrote; labels never travelled."
    )


def _legend(actors: tuple[str, ...]) -> str:
    paint = charts.colours(actors)
    return "".join(f'<span><i style="background:{paint[actor]}"></i>{escape(actor)}</span>' for actor in actors)
