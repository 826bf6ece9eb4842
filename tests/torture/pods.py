"""The pods of a row: the real sidecar and the real runtime, with places to stop at."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.mesh import Mesh, Pod

IN_FLIGHT = 8
CODE = Path(__file__).parent / "pod"
ENTRY = (sys.executable, str(CODE / "entry.py"))
# Crashes count as attempts; a message must not run out of them only because it was there at several crashes.
POLICIES = '{"default": {"maxAttempts": 50, "backoff": "constant", "initialDelay": "100ms", "jitter": false}}'
SIDECAR = {
    "ASYA_RESILIENCY_POLICIES": POLICIES,
    "ASYA_CONCURRENCY": str(IN_FLIGHT),
    "ASYA_PREFETCH": str(IN_FLIGHT),
    "ASYA_DESTINATION_WAIT": "1s",
}
SHORT_LEASE = {"ASYA_SQLITE_LEASE": "1s", "ASYA_SQS_LEASE": "10s", "ASYA_PUBSUB_LEASE": "10s"}
"""Where sidecars die: what they held comes back when its lease ends, and nobody should wait for the usual half minute.
Elsewhere a busy machine would let such a short lease run out while its holder lives; so it would on clouds, where each
extension is a call to a slow server, if it were still shorter."""
# Calls are sent ahead, so that a worker dies with some that it has and has not begun.
RUNTIME = {"ASYA_PIPELINE": str(IN_FLIGHT - 1)}
NEVER = 1_000_000
PATIENCE = 60.0
"""Seconds that a process may take to end and to start again on a machine that is busy with other things."""


def add(
    mesh: Mesh,
    actor: str,
    handler: str,
    *,
    sidecar: Mapping[str, str],
    runtime: Mapping[str, str],
    before: Sequence[str],
) -> Pod:
    """Make a pod that is started again however often it is killed; `before`: words before the sidecar's command."""
    made = mesh.pod(
        actor,
        handler,
        modules=[CODE],
        sidecar={**SIDECAR, **sidecar},
        runtime={**RUNTIME, **runtime},
        command=[*before, *ENTRY],
    )
    for process in made.processes:
        process.quick_exits = NEVER
    return made
