"""What really happened, as the simulated outside world saw it: the oracle judges the sidecar by nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

Key = tuple[str, str, int, int]
"""Pod, envelope id, hop, attempt."""


@dataclass
class CallFact:
    """One call that a handler's process was sent."""

    at: float
    emitted: list[tuple[dict[str, Any], Any]] = field(default_factory=list)
    """Changes and payload of each result it gave."""
    end: str = ""
    failure: dict[str, Any] = field(default_factory=dict)


@dataclass
class Facts:
    """See the module."""

    calls: dict[Key, list[CallFact]] = field(default_factory=dict)
    preflights: dict[tuple[str, str], set[str | None]] = field(default_factory=dict)
    """By pod and id: every answer that was given."""
    stopped: set[tuple[str, str]] = field(default_factory=set)
    """By pod and id: the calls that were told to stop because their task was canceled."""
    acknowledged: set[tuple[str, str, str]] = field(default_factory=set)
    """By pod, id and status: the final reports that were acknowledged."""
    stored: set[tuple[str, str]] = field(default_factory=set)
    """By terminal actor and id: what a crew handler has made durable."""
    broken: dict[bytes, str] = field(default_factory=dict)
    """Bytes that are no envelope, and the row that is about them."""
    too_large: set[tuple[str, str]] = field(default_factory=set)
    """By pod and id: what had a message too large for the broker."""
    unroutable: set[tuple[str, str]] = field(default_factory=set)
    """By pod and destination: who was answered with "no such queue"."""
    crashes: dict[str, float] = field(default_factory=dict)
    """By pod: when a handler's process last died."""
    rows: dict[str, int] = field(default_factory=dict)
    """How often each row of the truth table was met."""
    disturbances: int = 0
    """What may legitimately make a copy: leases that ended, confirmations and connections that were lost."""

    def met(self, row: str) -> None:
        """Count a row."""
        self.rows[row] = self.rows.get(row, 0) + 1


def hop_of(envelope: dict[str, Any]) -> int:
    """Return the hop header's number."""
    hop = (envelope.get("headers") or {}).get("x-asya-hop", 0)
    return hop if isinstance(hop, int) else 0


def attempt_of(envelope: dict[str, Any], actor: str, *, terminal: bool) -> int:
    """Return the number of the attempt that an envelope is at this actor."""
    route = envelope.get("route")
    if terminal or (isinstance(route, dict) and "x-sink" in (route.get("prev") or [])):
        return int((envelope.get("headers") or {}).get("x-asya-terminal-attempt", 1))
    status = envelope.get("status") or {}
    if status.get("phase") == "retrying" and status.get("actor") == actor:
        return max(int(status.get("attempt", 1)), 1)
    return 1


def read(body: bytes) -> dict[str, Any]:
    """Read an envelope with nothing of the product's."""
    value = json.loads(body)
    assert isinstance(value, dict)
    return value
