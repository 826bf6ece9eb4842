"""What is read back from a mesh: traces and the number of replicas over time. Times are Unix seconds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One attempt of one pass of a message through an actor."""

    actor: str
    hop: int
    attempt: int
    status: str
    started: float
    ended: float
    row: str
    to: tuple[str, ...]
    delay: float | None
    error: str

    @property
    def failed(self) -> bool:
        """Tell whether this attempt raised."""
        return bool(self.error)

    @property
    def seconds(self) -> float:
        """How long it took; 0 where one of its ends was not reported."""
        return self.ended - self.started


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One message with its hops in order, and the messages that were made from it."""

    id: str
    status: str
    error: str
    hops: tuple[Hop, ...]
    children: tuple[Trace, ...]

    def tree(self) -> Iterator[Trace]:
        """Yield this message and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.tree()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """State of a mesh at one moment, by actor: replicas that run, and messages that wait or are being worked on.

    Not every broker tells the latter; there, the backlog is what waits.
    """

    at: float
    replicas: dict[str, int]
    backlog: dict[str, int]


def read_trace(answer: dict[str, Any]) -> Trace:
    """Read what ``GET /api/v1/mesh/{id}/trace`` answers."""
    return Trace(
        id=answer["id"],
        status=answer["status"],
        error=_error(answer.get("error")),
        hops=tuple(_hop(hop) for hop in answer["hops"] if hop.get("started_at") or hop.get("ended_at")),
        children=tuple(read_trace(child) for child in answer["children"]),
    )


def read_samples(path: Path, actors: set[str]) -> list[Sample]:
    """Read the supervisor's record of `actors`, oldest first. A line that was not finished is left out."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [_sample(json.loads(line), actors) for line in lines[:-1]]


def moment(text: str) -> float:
    """Read an RFC 3339 time."""
    return datetime.fromisoformat(text).timestamp()


def _sample(line: dict[str, Any], actors: set[str]) -> Sample:
    states = [state for state in line["actors"] if state["name"] in actors]
    return Sample(
        at=moment(line["at"]),
        replicas={state["name"]: state["replicas"] for state in states},
        backlog={state["name"]: state["depth"]["ready"] + (state["depth"]["in_flight"] or 0) for state in states},
    )


def _hop(hop: dict[str, Any]) -> Hop:
    # Reports of progress may be dropped; a hop of which only one end is known has no length.
    started: str = hop.get("started_at") or hop["ended_at"]
    ended: str = hop.get("ended_at") or started
    return Hop(
        actor=hop["actor"],
        hop=hop["hop"],
        attempt=hop["attempt"],
        status=hop["status"],
        started=moment(started),
        ended=moment(ended),
        row=hop.get("row") or "",
        to=tuple(hop.get("to") or ()),
        delay=hop.get("delay_s"),
        error=_error(hop.get("error")),
    )


def _error(error: dict[str, Any] | None) -> str:
    return f"{error.get('type', '')}: {error.get('message', '')}" if error else ""
