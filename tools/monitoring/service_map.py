"""Who sends to whom."""

from __future__ import annotations

from asya.local.metrics.query import Ratio
from monitoring.catalogue import level, quantile, rate
from monitoring.flow import SENT
from monitoring.mesh import FAILED, PROCESSED, WORK
from monitoring.panels import Dashboard, Panel, Row, Target

MAP = Row(
    "Map",
    (
        Panel(
            title="Who sends to whom",
            description="Actors, and messages per second between them.",
            unit="mps",
            kind="nodegraph",
            width=24,
            height=16,
            live=True,
            targets=(Target(rate(SENT, "actor", "destination"), "{{actor}} → {{destination}}"),),
        ),
    ),
)
EDGES = Row(
    "Edges and actors",
    (
        Panel(
            title="Messages from actor to actor",
            description="Messages published per second.",
            unit="mps",
            kind="table",
            width=12,
            targets=(Target(rate(SENT, "actor", "destination", "message_type"), "{{actor}} → {{destination}}"),),
        ),
        Panel(
            title="Error share by actor",
            description="Share of handled messages that ended in failure.",
            unit="percentunit",
            thresholds=((0.01, "warning"), (0.1, "bad")),
            width=12,
            targets=(Target(Ratio(top=rate(FAILED, "actor"), bottom=rate(PROCESSED, "actor")), "{{actor}}"),),
        ),
        Panel(
            title="Time in the actor, P95",
            description="From a message being taken up to its settlement.",
            unit="s",
            thresholds=((30, "warning"), (60, "bad")),
            width=12,
            targets=(Target(quantile(0.95, WORK, "actor"), "{{actor}}"),),
        ),
        Panel(
            title="Backlog by actor",
            description="Messages that count for the autoscaler.",
            unit="short",
            thresholds=((1000, "warning"),),
            width=12,
            targets=(Target(level("keda_scaler_metrics_value", "actor"), "{{actor}}"),),
        ),
    ),
)

SERVICE_MAP = Dashboard(
    uid="asya-service-map",
    title="Asya / Service map",
    description="Who sends to whom, how much, and how well.",
    rows=(MAP, EDGES),
)
