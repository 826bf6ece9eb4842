"""The second example: handwritten digits, read by a model that each process loads once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from demonstration.mesh import DemoError, Queues, running
from demonstration.photos import IDLE_LIMIT, WORK_LIMIT
from demonstration.progress import Progress
from demonstration.recording import Sample, read_samples

FIRST = "split"
ROUTE = ["classify"]
ACTORS = (FIRST, *ROUTE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One picture that was read wrongly: 64 values from 0 to 16, row by row."""

    pixels: tuple[int, ...]
    label: int
    answer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitsRun:
    """What happened. `seconds` is the time from the first call of `classify` to the end of its last."""

    total: int
    right: int
    confusion: tuple[tuple[int, ...], ...]
    mistakes: tuple[Mistake, ...]
    processes: int
    calls: int
    seconds: float
    samples: tuple[Sample, ...]

    @property
    def accuracy(self) -> float:
        """Share of pictures that were read rightly."""
        return self.right / self.total


def run(examples: Path, build: Path, queues: Queues, progress: Progress) -> DigitsRun:
    """Send the test half through the mesh of `examples`/digits and count from the checkpoints what came out.

    Raises:
        DemoError: The mesh did not do its work; the text says why.
    """
    kept = build / "digits-checkpoints"
    checkpoints = {"ASYA_CHECKPOINT_URL": kept.as_uri()}
    with running(examples / "digits", build / "digits-state", queues, checkpoints) as mesh:
        task_id = mesh.send(FIRST, {}, ROUTE)
        with progress.bar("handwritten digits") as bar:
            for task in mesh.watch(task_id, limit=WORK_LIMIT):
                children = task["children"]
                bar.show(1 + children["total"] - children["open"], 1 + children["total"])
        root = mesh.trace(task_id)
        progress.say("waiting until every actor is back at zero replicas")
        mesh.wait_until_idle(set(ACTORS), limit=IDLE_LIMIT)
    samples = read_samples(mesh.state / "status.jsonl", set(ACTORS))
    hops = [hop for trace in root.tree() for hop in trace.hops if hop.actor in ROUTE]
    seconds = max(hop.ended for hop in hops) - min(hop.started for hop in hops)
    return score(read_answers(kept), samples=samples, seconds=seconds)


def read_answers(kept: Path) -> list[dict[str, int]]:
    """Read the payloads of all messages that succeeded, from the sink's checkpoints below `kept`."""
    documents = sorted((kept / "succeeded").glob("*/*.json"))
    answers: list[dict[str, int]] = [json.loads(path.read_text(encoding="utf-8"))["payload"] for path in documents]
    return answers


def score(answers: list[dict[str, int]], *, samples: list[Sample], seconds: float) -> DigitsRun:
    """Compare answers with the labels, which never travelled.

    Raises:
        DemoError: A picture has no answer.
    """
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # slow to import, and not needed before

    digits = load_digits()
    middle = len(digits.data) // 2
    pixels, labels = digits.data[middle:], digits.target[middle:]
    by_number = {answer["number"]: answer for answer in answers}
    missing = sorted(set(range(len(labels))) - by_number.keys())
    if missing:
        raise DemoError(f"{len(missing)} of {len(labels)} digits have no checkpoint, the first is number {missing[0]}")
    confusion = [[0] * 10 for _ in range(10)]
    mistakes = []
    for number, label in enumerate(int(label) for label in labels):
        answer = by_number[number]["digit"]
        confusion[label][answer] += 1
        if answer != label:
            mistakes.append(Mistake(pixels=tuple(int(value) for value in pixels[number]), label=label, answer=answer))
    return DigitsRun(
        total=len(labels),
        right=len(labels) - len(mistakes),
        confusion=tuple(tuple(row) for row in confusion),
        mistakes=tuple(mistakes),
        processes=len({answer["process"] for answer in answers}),
        # Each answer of a call of n pictures says n, so the calls are the sum of the parts.
        calls=round(sum(1 / answer["batch"] for answer in answers)),
        seconds=seconds,
        samples=tuple(samples),
    )
