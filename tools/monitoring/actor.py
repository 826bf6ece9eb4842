"""One actor, looked at closely."""

from __future__ import annotations

from asya.local.metrics.query import Ratio
from monitoring.catalogue import buckets, level, quantile, rate
from monitoring.mesh import FAILED, PROCESSED, WAIT, WORK
from monitoring.panels import Dashboard, Panel, Row, Target, Threshold, Unit

CALL = "asya_actor_runtime_execution_duration_seconds"


def _quantiles(
    title: str, description: str, metric: str, *, bad: float | None = None, unit: Unit = "s", **where: str
) -> Panel:
    thresholds: tuple[Threshold, ...] = () if bad is None else ((bad / 2, "warning"), (bad, "bad"))
    return Panel(
        title=title,
        description=description,
        unit=unit,
        thresholds=thresholds,
        targets=tuple(Target(quantile(q, metric, **where), f"P{q * 100:g}") for q in (0.5, 0.95, 0.99)),
    )


MESSAGES = Row(
    "Messages",
    (
        Panel(
            title="In and out",
            description="Deliveries taken up, messages settled, messages published, per second.",
            unit="mps",
            targets=(
                Target(rate("asya_actor_messages_received_total"), "received"),
                Target(rate(PROCESSED), "settled"),
                Target(rate("asya_actor_messages_sent_total"), "sent"),
            ),
        ),
        Panel(
            title="What became of them",
            nonzero=True,
            description="Outcomes of handled messages per second.",
            unit="mps",
            stack=True,
            targets=(Target(rate(PROCESSED, "status"), "{{status}}"),),
        ),
        Panel(
            title="Error share",
            description="Share of handled messages that ended in failure.",
            unit="percentunit",
            thresholds=((0.01, "warning"), (0.1, "bad")),
            targets=(Target(Ratio(top=rate(FAILED), bottom=rate(PROCESSED)), "failed"),),
        ),
    ),
)
TIMES = Row(
    "Times",
    (
        _quantiles("Wait in the queue", "From the sender's stamp to the arrival at a sidecar.", WAIT, bad=600),
        _quantiles("Time in the actor", "From a message being taken up to its settlement.", WORK, bad=60),
        _quantiles("Time in the handler", "From the call being sent to the runtime to its answer.", CALL, bad=60),
        Panel(
            title="Time in the handler, all calls",
            description="How many calls took how long, per second: two lines mean two kinds of messages.",
            unit="s",
            kind="heatmap",
            width=12,
            targets=(Target(buckets(CALL), "{{le}}"),),
        ),
        Panel(
            title="Broker times, P95",
            description="Wait of what is prefetched; and from the decision to the broker's confirmation.",
            unit="s",
            width=12,
            thresholds=((0.5, "warning"), (2, "bad")),
            targets=(
                Target(quantile(0.95, "asya_actor_queue_receive_duration_seconds"), "received to taken up"),
                Target(
                    quantile(0.95, "asya_actor_queue_send_duration_seconds", "destination"), "sent to {{destination}}"
                ),
            ),
        ),
    ),
)
CAPACITY = Row(
    "Capacity",
    (
        Panel(
            title="Queue",
            description="Messages in the actor's queue by state.",
            unit="short",
            stack=True,
            thresholds=((1000, "warning"),),
            targets=(Target(level("asya_queue_messages", "state"), "{{state}}"),),
        ),
        Panel(
            title="Replicas",
            description="Wanted, ready, and the most that are allowed.",
            unit="short",
            targets=(
                Target(level("kube_deployment_spec_replicas"), "wanted"),
                Target(level("kube_deployment_status_replicas_ready"), "ready"),
                Target(level("kube_horizontalpodautoscaler_spec_max_replicas"), "most"),
            ),
        ),
        Panel(
            title="Slots in use",
            description="Messages in a slot, all that are held, those parked beside the slots; and the slots.",
            unit="short",
            targets=(
                Target(level("asya_actor_active_messages"), "in a slot"),
                Target(level("asya_actor_held_messages"), "held"),
                Target(level("asya_actor_parked_messages"), "parked"),
                Target(level("asya_actor_slots"), "slots"),
            ),
        ),
        Panel(
            title="Messages by replica",
            description="Messages settled per second by each replica: they should share the work.",
            unit="mps",
            stack=True,
            targets=(Target(rate(PROCESSED, "replica"), "replica {{replica}}"),),
        ),
        _quantiles(
            "Size of messages received",
            "Whole messages.",
            "asya_actor_message_size_bytes",
            unit="bytes",
            direction="received",
        ),
        _quantiles(
            "Size of messages sent", "Whole messages.", "asya_actor_message_size_bytes", unit="bytes", direction="sent"
        ),
    ),
)
TROUBLE = Row(
    "Trouble",
    (
        Panel(
            title="Failures by reason",
            nonzero=True,
            description="Messages that ended in failure per second.",
            unit="mps",
            stack=True,
            targets=(Target(rate(FAILED, "reason"), "{{reason}}"),),
        ),
        Panel(
            title="Calls that failed, and retries",
            nonzero=True,
            description="Each attempt that failed, and retries scheduled, per second by kind of error.",
            unit="mps",
            targets=(
                Target(rate("asya_actor_runtime_errors_total", "error_type"), "{{error_type}}"),
                Target(rate("asya_actor_retries_total", "error_type"), "retry after {{error_type}}"),
            ),
        ),
        _quantiles("Delay of retries", "How long scheduled retries wait.", "asya_actor_retry_delay_seconds"),
        Panel(
            title="Nothing is received because",
            nonzero=True,
            description="Replicas that receive nothing, by reason.",
            unit="short",
            stack=True,
            targets=(Target(level("asya_actor_receiving_blocked", "reason"), "{{reason}}"),),
        ),
        Panel(
            title="Leases and deliveries",
            description="Leases extended and lost, deliveries that came again or were given back, per second.",
            unit="short",
            targets=(
                Target(rate("asya_actor_lease_extensions_total"), "extended"),
                Target(rate("asya_actor_leases_lost_total"), "lost"),
                Target(rate("asya_actor_messages_redelivered_total"), "came again"),
                Target(rate("asya_actor_messages_released_total", "reason"), "given back: {{reason}}"),
            ),
        ),
        Panel(
            title="Connections",
            description="Replicas connected to the broker and to a runtime, and reconnects per second.",
            unit="short",
            targets=(
                Target(level("asya_actor_broker_connected"), "broker"),
                Target(level("asya_actor_runtime_connected"), "runtime"),
                Target(rate("asya_actor_reconnects_total"), "reconnects"),
            ),
        ),
        Panel(
            title="Circuits",
            description="0 closed, 1 half-open, 2 open: of the actor itself, or of a destination.",
            unit="short",
            thresholds=((1, "warning"), (2, "bad")),
            targets=(Target(level("asya_actor_circuit_state", "target", highest=True), "{{target}}"),),
        ),
        Panel(
            title="Circuits opened",
            description="How often circuits opened, per second.",
            unit="short",
            targets=(Target(rate("asya_actor_circuit_opened_total", "target"), "{{target}}"),),
        ),
        Panel(
            title="Waiting for a rate limit",
            description="Messages that wait for the limit of the actor or of a destination: seconds waited per second.",
            unit="short",
            targets=(Target(rate("asya_actor_rate_limited_seconds_total", "target"), "{{target}}"),),
        ),
        Panel(
            title="Versions",
            description="What runs, and how many replicas of it.",
            unit="short",
            kind="table",
            width=12,
            height=6,
            targets=(Target(level("asya_actor_build_info", "version", "python", "transport", "role"), "{{version}}"),),
        ),
        Panel(
            title="Handler's own metrics refused",
            description="Values that the handler counted and that were not taken, per second by reason.",
            unit="short",
            width=12,
            height=6,
            thresholds=((0.001, "warning"),),
            targets=(Target(rate("asya_actor_handler_metrics_refused_total", "reason"), "{{reason}}"),),
        ),
    ),
)

ACTOR = Dashboard(
    uid="asya-actor",
    title="Asya / Actor",
    description="One actor: messages, times, capacity, trouble.",
    rows=(MESSAGES, TIMES, CAPACITY, TROUBLE),
    several=False,
)
