"""The first example: photographs through a mesh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demonstration.mesh import FINAL, DemoError, Queues, running
from demonstration.progress import Progress
from demonstration.recording import Sample, Trace, read_samples

PICTURES = (
    "astronaut",
    "camera",
    "cat",
    "clock",
    "coffee",
    "coins",
    "galaxies",
    "tissue",
    "moon",
    "motorcycle",
    "retina",
    "rocket",
)
FIRST = "load"
ROUTE = ["denoise", "contrast", "upscale", "gate"]
# Order of the legend and of the charts; `gate` sends some pictures past `sharpen`.
ACTORS = (FIRST, *ROUTE, "sharpen", "sheet")
# Seconds without anything coming through: on a busy machine all of it may take longer.
WORK_LIMIT = 180.0
IDLE_LIMIT = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """One picture that came through: where it is, what was measured, and the way of its message."""

    name: str
    before: Path
    after: Path
    likeness_before: float
    likeness_after: float
    blur: float
    way: tuple[str, ...]
    trace: Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotosRun:
    """What happened; `photos` in the order they were sent."""

    photos: tuple[Photo, ...]
    expected: int
    root: Trace
    samples: tuple[Sample, ...]

    @property
    def complete(self) -> bool:
        """Tell whether every picture came through, and closer to the photograph than it went in."""
        closer = all(photo.likeness_after > photo.likeness_before for photo in self.photos)
        return len(self.photos) == self.expected and closer


def run(
    examples: Path, build: Path, queues: Queues, progress: Progress, pictures: Sequence[str] = PICTURES
) -> PhotosRun:
    """Send photographs through the mesh of `examples`/photos; everything is written below `build`.

    Raises:
        DemoError: The mesh did not do its work; the text says why.
    """
    with running(examples / "photos", build / "photos-state", queues, {}) as mesh:
        task_id = mesh.send(FIRST, {"folder": str(build / "photos"), "pictures": list(pictures)}, ROUTE)
        with progress.bar("photographs") as bar:
            for task in mesh.watch(task_id, limit=WORK_LIMIT):
                bar.show(_ended(task), 1 + task["children"]["total"])
        root = mesh.trace(task_id)
        results = [(trace, mesh.task(trace.id)) for trace in root.tree()]
        progress.say("waiting until every actor is back at zero replicas")
        mesh.wait_until_idle(set(ACTORS), limit=IDLE_LIMIT)
    samples = read_samples(mesh.state / "status.jsonl", set(ACTORS))
    failed = [f"{trace.id}: {trace.status} {trace.error}" for trace, task in results if task["status"] != "succeeded"]
    if failed:
        raise DemoError("these messages did not succeed:\n" + "\n".join(failed))
    found = sorted(results, key=lambda pair: int(pair[1]["result"]["number"]))
    return PhotosRun(
        photos=tuple(_photo(trace, task["result"]) for trace, task in found),
        expected=len(pictures),
        root=root,
        samples=tuple(samples),
    )


def _ended(task: dict[str, Any]) -> int:
    children = task["children"]
    return int(children["total"] - children["open"] + (task["status"] in FINAL))


def _photo(trace: Trace, result: dict[str, Any]) -> Photo:
    return Photo(
        name=result["picture"],
        before=Path(result["before"]),
        after=Path(result["image"]),
        likeness_before=result["similarity"]["before"],
        likeness_after=result["similarity"]["after"],
        blur=result["blur"],
        way=tuple(result["way"]),
        trace=trace,
    )
