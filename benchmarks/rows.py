"""The rows of the table: what each measures, its unit, and what is asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.kinds import BOTO3, CELERY, GOOGLE, LOOP, NAMES, RAW_JSON

Better = Literal["more", "less"]


@dataclass(frozen=True)
class Goal:
    """A bound for the figure itself, or, with `of`, for its ratio to the best of the named kinds in the same round."""

    bound: float
    of: tuple[str, ...] = ()
    said: str = ""
    """How the kinds are called in the table, when it is not their names."""


@dataclass(frozen=True)
class Row:
    """One figure. Without goals it is told, not judged; rows in `also` belong to it: it is met when they are, too."""

    id: str
    what: str
    unit: str
    better: Better
    goals: tuple[Goal, ...] = ()
    also: tuple[str, ...] = ()
    asked: bool = True
    """False for rows that only exist as part of another one, and cannot be chosen alone."""


_HOP = (Goal(5, NAMES, "best framework"), Goal(2.5, (LOOP,)), Goal(0.7, (RAW_JSON,)))
_BELOW_ALL = Goal(1.0, NAMES, "each framework")

ROWS = (
    Row("hop.rabbitmq.quorum", "confirmed hops of one pod, quorum queues", "hops/s", "more", _HOP),
    Row("hop.rabbitmq.classic", "confirmed hops of one pod, classic queues", "hops/s", "more", _HOP),
    Row("hop.sqlite", "durable hops of one pod over SQLite", "hops/s", "more", (Goal(3000),)),
    Row(
        "cpu.sidecar",
        "CPU of the sidecar per hop, quorum",
        "µs",
        "less",
        (Goal(45), Goal(2, (RAW_JSON,))),
        ("cpu.sidecar.classic",),
    ),
    Row(
        "cpu.sidecar.classic",
        "CPU of the sidecar per hop, classic",
        "µs",
        "less",
        (Goal(45), Goal(2, (RAW_JSON,))),
        asked=False,
    ),
    Row("cpu.sidecar.sqlite", "CPU of the sidecar per hop, SQLite", "µs", "less", asked=False),
    Row("cpu.runtime", "CPU of the runtime per hop, quorum", "µs", "less", (Goal(25),), ("cpu.runtime.classic",)),
    Row("cpu.runtime.classic", "CPU of the runtime per hop, classic", "µs", "less", (Goal(25),), asked=False),
    Row("cpu.worker", "CPU of the whole worker per hop, quorum", "µs", "less"),
    Row("cpu.worker.classic", "CPU of the whole worker per hop, classic", "µs", "less", asked=False),
    Row("fanout", "confirmed results per second, 100 for each call", "results/s", "more", (Goal(10_000),)),
    Row("latency.p50", "idle hop, publish to arrival, median", "ms", "less", (Goal(1.2), _BELOW_ALL)),
    Row("latency.p99", "idle hop, publish to arrival, 99th percentile", "ms", "less", (Goal(2.4), _BELOW_ALL)),
    Row(
        "payload.1mib",
        "payloads of 1 MiB through one pod",
        "MiB/s",
        "more",
        (Goal(2, NAMES, "best framework"),),
        ("payload.1mib.memory",),
    ),
    Row(
        "payload.1mib.memory",
        "most memory of the sidecar meanwhile",
        "MiB",
        "less",
        (Goal(232, said="32 + 2 × window 100 × 1 MiB"),),
        asked=False,
    ),
    Row("call.pipelined", "call of the handler, 100 under way", "µs", "less", (Goal(15),)),
    Row("call.sequential", "call of the handler, one after another", "µs", "less", (Goal(45),)),
    Row("start.sidecar", "exec of the sidecar to the handler's first call", "ms", "less", (Goal(300),)),
    Row("start.sidecar.sqlite", "the same over SQLite", "ms", "less", (Goal(300),), asked=False),
    Row(
        "memory.sidecar",
        "resident memory of the sidecar after very many messages",
        "MiB",
        "less",
        (Goal(32),),
        ("memory.sidecar.drift",),
    ),
    Row(
        "memory.sidecar.drift", "how far it moved after the first tenth of them", "MiB", "less", (Goal(2),), asked=False
    ),
    Row("fds.reconnects", "file descriptors more after reconnects", "", "less", (Goal(0),)),
    Row(
        "idle.50",
        "CPU of `asya up`, 50 actors at zero replicas",
        "% of a core",
        "less",
        (Goal(1),),
        ("idle.50.memory", "replica.memory"),
    ),
    Row("idle.50.memory", "memory of all its processes (PSS)", "MiB", "less", (Goal(150),), asked=False),
    Row("compose.p50", "answer of the composition function, median", "ms", "less"),
    Row(
        "compose.p99",
        "answer of the composition function, 99th percentile",
        "ms",
        "less",
        (Goal(5),),
        ("compose.p99.many",),
    ),
    Row("compose.p99.many", "the same among 1,000 actors of one namespace", "ms", "less", (Goal(5),), asked=False),
    Row("compose.grpc.p99", "the same over gRPC with mTLS", "ms", "less", (Goal(8),)),
    Row("compose.1000", "1,000 actors of one namespace composed, and again when all is there", "s", "less"),
    Row("compose.memory", "most memory of the function's process", "MiB", "less", (Goal(80),)),
    Row("compose.start", "exec of the function to its first answer over mTLS", "ms", "less", (Goal(1500),)),
    Row("compose.image", "what its image adds to the base (where `make images` built it)", "MiB", "less"),
    Row("hop.sqs", "hops of one pod on SQS; moto is the limit", "hops/s", "more"),
    Row("cpu.sqs", "CPU of the whole worker per hop, SQS", "µs", "less", (Goal(0.5, (BOTO3,)), Goal(0.5, (CELERY,)))),
    Row("calls.sqs", "API calls for a message under load", "", "less", (Goal(0.35),), ("calls.sqs.idle",)),
    Row("calls.sqs.idle", "API calls in a second of a pod that idles", "", "less", (Goal(0.1),), asked=False),
    Row("memory.sqs", "most resident memory of the sidecar, SQS", "MiB", "less", (Goal(60),)),
    Row("start.sqs", "exec of the sidecar to the handler's first call, SQS", "ms", "less", (Goal(700),)),
    Row("hop.pubsub", "hops of one pod on Pub/Sub; the emulator is the limit", "hops/s", "more"),
    Row("cpu.pubsub", "CPU of the whole worker per hop, Pub/Sub", "µs", "less", (Goal(0.5, (GOOGLE,)),)),
    Row("memory.pubsub", "most resident memory of the sidecar, Pub/Sub", "MiB", "less", (Goal(90),)),
    Row("start.pubsub", "exec of the sidecar to the handler's first call, Pub/Sub", "ms", "less", (Goal(700),)),
    Row("replica.memory", "memory of a running replica, sidecar and runtime (PSS)", "MiB", "less", (Goal(48),)),
)
BY_ID = {row.id: row for row in ROWS}
CURVES = ("curve.payload", "curve.actors", "curve.prefetch", "curve.concurrency")
"""Cost curves: pictures, no rows."""


def select(wanted: Sequence[str], *, quick: bool = False) -> set[str]:
    """Return the ids of rows and curves that prefixes name; all rows, and in the full form all curves, for no prefix.

    Raises:
        ValueError: A prefix fits nothing.
    """
    known = [*(row.id for row in ROWS if row.asked), *CURVES]
    if unknown := [prefix for prefix in wanted if not any(name.startswith(prefix) for name in known)]:
        raise ValueError(f"no row begins with {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    if not wanted:
        return {name for name in known if not (quick and name in CURVES)}
    return {name for name in known if any(name.startswith(prefix) for prefix in wanted)}
