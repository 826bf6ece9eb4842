"""The third example: two functions exactly as the described system's pages print them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from demonstration.mesh import DemoError, Queues, running
from demonstration.progress import Progress

FIRST = "embedder"
ROUTE = ["reranker"]
TEXT = "a queue in front of every function and nothing in the middle"
LIMIT = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedRun:
    """What ran, as text, and what came out."""

    sources: tuple[str, ...]
    result: str


def run(folder: Path, build: Path, queues: Queues, progress: Progress) -> PrintedRun:
    """Send one text through two actors of `folder`; its prelude supplies the names that the print leaves undefined."""
    with running(folder, build / "printed-state", queues, {"PYTHONPATH": str(folder / "prelude")}) as mesh:
        task_id = mesh.send(FIRST, {"text": TEXT}, ROUTE)
        with progress.bar("printed functions") as bar:
            for task in mesh.watch(task_id, limit=LIMIT):
                bar.show(int(task["progress"] == 1), 1)
    if task["status"] != "succeeded":
        raise DemoError(f"the printed functions: {task['status']} {task['error']}")
    handlers = [folder / actor / "handler.py" for actor in (FIRST, *ROUTE)]
    return PrintedRun(
        sources=tuple(path.read_text(encoding="utf-8") for path in handlers), result=json.dumps(task["result"])
    )
