"""What is told about a task, and to whom: the reports' shapes and the contract of their receiver.

Format: docs/reference/mesh-api.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from asya.wire import Envelope, Raw, format_time
from asya_sidecar.decide import Actor, Decision, Final
from asya_sidecar.decide.before import Preflight
from asya_sidecar.decide.build import attempt_at


class Report(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One report, as it is sent."""

    id: str
    type: str
    at: str
    parent_id: str | None = None
    status: str | None = None
    data: dict[str, Any] | Raw = {}


class Receiver(Protocol):
    """Whoever hears of one envelope."""

    def progress(self, report: Report) -> None:
        """Take a report that may be dropped. Never waits."""

    async def final(self, report: Report) -> bool:
        """Deliver a report and wait until it is acknowledged. False when it was given up."""

    async def preflight(self, envelope_id: str) -> Preflight | None:
        """Ask whether the task was canceled or paused meanwhile."""

    def started(self, envelope_id: str, stop: Callable[[], None]) -> None:
        """Note a call under way; `stop` is called when its task is canceled."""

    def ended(self, envelope_id: str) -> None:
        """Note that a call is over."""


class Reporter(Protocol):
    """Chooses the receiver of each envelope."""

    def receiver(self, envelope: Envelope) -> Receiver | None:
        """Return who hears of this envelope, or None."""


def progress_event(envelope: Envelope, actor: Actor, status: str, more: dict[str, Any]) -> Report:
    """Tell where a message is: `processing`, `completed` or `retrying`."""
    data = {
        "actor": actor.name,
        "hop": envelope.hop,
        "attempt": attempt_at(envelope, actor),
        "prev": envelope.route.prev,
        "next": envelope.route.next,
        **more,
    }
    return _report(envelope, "status", data, status)


def passed_event(
    envelope: Envelope, actor: Actor, decision: Decision, began_at: float, children: Sequence[str]
) -> Report:
    """Tell what was decided about a message, `began_at` (Unix seconds) being when it was taken up."""
    data: dict[str, Any] = {
        "row": decision.row,
        "duration_ms": round((time.time() - began_at) * 1000, 3),
        "to": [send.actor for send in decision.sends],
        "size_bytes": memoryview(envelope.payload).nbytes,
    }
    if children:
        data["children"] = list(children)
    if decision.failure is not None:
        data["error"] = {"type": decision.failure.type, "message": decision.failure.message}
    if decision.cause:
        data["cause"] = decision.cause
    retrying = decision.row == "handler-error"
    if retrying:
        data["delay_s"] = round(decision.sends[0].delay, 3)
    return progress_event(envelope, actor, "retrying" if retrying else "completed", data)


def fly_event(envelope: Envelope, event: bytes) -> Report:
    """Pass on what the handler yielded with FLY."""
    return _report(envelope, "fly", Raw(event))


def children_event(envelope: Envelope, actor: Actor, children: Sequence[str]) -> Report:
    """Tell which messages came of this one, before it is settled: so a task's tree is complete when its root ends."""
    return _report(envelope, "children", {"actor": actor.name, "hop": envelope.hop, "children": list(children)})


def final_event(envelope: Envelope, final: Final) -> Report:
    """Tell how it ended."""
    data = {
        "actor": final.actor,
        "reason": final.reason,
        "payload": envelope.payload,
        "error": final.error,
        "partial": final.partial,
    }
    return _report(envelope, "status", data, final.status)


def _report(envelope: Envelope, kind: str, data: dict[str, Any] | Raw, status: str | None = None) -> Report:
    return Report(
        id=envelope.id, parent_id=envelope.parent_id, type=kind, status=status, at=format_time(time.time()), data=data
    )
