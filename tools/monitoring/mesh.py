"""The overview: what a person looks at first."""

from __future__ import annotations

from asya.local.metrics.query import Ratio
from monitoring.catalogue import level, mean, quantile, rate
from monitoring.panels import Dashboard, Panel, Row, Target

PROCESSED, FAILED = "asya_actor_messages_processed_total", "asya_actor_messages_failed_total"
END = "asya_actor_end_to_end_duration_seconds"
WAIT, WORK = "asya_actor_queue_wait_seconds", "asya_actor_processing_duration_seconds"
# Crew finishes what actors have handled; counted with them, every message would count twice.
ACTORS = "!x-sink|x-sump"


NOW = Row(
    "Now",
    (
        Panel(
            title="Messages handled",
            description="Messages that actors settled per second, each hop once; crew actors are left out.",
            unit="mps",
            kind="stat",
            width=4,
            height=4,
            live=True,
            targets=(Target(rate(PROCESSED, actor=ACTORS), "handled"),),
        ),
        Panel(
            title="Error share",
            description="Share of handled messages that ended in failure. A retry that works in the end is none.",
            unit="percentunit",
            kind="stat",
            width=4,
            height=4,
            thresholds=((0.01, "warning"), (0.1, "bad")),
            live=True,
            targets=(Target(Ratio(top=rate(FAILED, actor=ACTORS), bottom=rate(PROCESSED, actor=ACTORS)), "failed"),),
        ),
        Panel(
            title="Task latency, P95",
            description="From a task's creation to its end at x-sink, for 95 of 100 tasks that ended lately.",
            unit="s",
            kind="stat",
            width=4,
            height=4,
            thresholds=((60, "warning"), (600, "bad")),
            live=True,
            targets=(Target(quantile(0.95, END), "P95"),),
        ),
        Panel(
            title="Messages waiting",
            description="Messages that count for the autoscaler, in all queues.",
            unit="short",
            kind="stat",
            width=4,
            height=4,
            thresholds=((1000, "warning"), (10000, "bad")),
            live=True,
            targets=(Target(level("keda_scaler_metrics_value"), "backlog"),),
        ),
        Panel(
            title="Replicas",
            description="Replicas that take messages, crew included.",
            unit="short",
            kind="stat",
            width=4,
            height=4,
            live=True,
            targets=(Target(level("kube_deployment_status_replicas_ready"), "ready"),),
        ),
        Panel(
            title="Dead letters",
            description="Messages in dead-letter queues; they stay until somebody deals with them.",
            unit="short",
            kind="stat",
            width=4,
            height=4,
            thresholds=((1, "bad"),),
            live=True,
            targets=(Target(level("asya_queue_messages", state="dead"), "dead"),),
        ),
    ),
)
THROUGHPUT = Row(
    "Throughput",
    (
        Panel(
            title="Messages handled by actor",
            description="Messages settled per second.",
            unit="mps",
            stack=True,
            width=12,
            live=True,
            targets=(Target(rate(PROCESSED, "actor"), "{{actor}}"),),
        ),
        Panel(
            title="What became of them",
            nonzero=True,
            description="Outcomes of handled messages per second; see the metric's label `status` for what each means.",
            unit="mps",
            stack=True,
            width=12,
            live=True,
            targets=(Target(rate(PROCESSED, "status"), "{{status}}"),),
        ),
    ),
)
LATENCY = Row(
    "Latency",
    (
        Panel(
            title="Task latency",
            description="From a task's creation to its end at x-sink, waits included.",
            unit="s",
            thresholds=((60, "warning"), (600, "bad")),
            live=True,
            targets=(
                Target(quantile(0.5, END), "P50"),
                Target(quantile(0.95, END), "P95"),
                Target(quantile(0.99, END), "P99"),
            ),
        ),
        Panel(
            title="Wait in the queue, P95",
            description="From the sender's stamp to the arrival at a sidecar; delays of retries are left out.",
            unit="s",
            thresholds=((60, "warning"), (600, "bad")),
            live=True,
            targets=(Target(quantile(0.95, WAIT, "actor"), "{{actor}}"),),
        ),
        Panel(
            title="Time in the actor, P95",
            description="From a message being taken up to its settlement: call, publishing and confirmation.",
            unit="s",
            thresholds=((30, "warning"), (60, "bad")),
            live=True,
            targets=(Target(quantile(0.95, WORK, "actor"), "{{actor}}"),),
        ),
    ),
)
QUEUES = Row(
    "Queues and replicas",
    (
        Panel(
            title="Messages ready",
            description="Messages in each queue that nobody has taken.",
            unit="short",
            thresholds=((1000, "warning"),),
            live=True,
            targets=(Target(level("asya_queue_messages", "actor", state="ready"), "{{actor}}"),),
        ),
        Panel(
            title="Messages in flight and delayed",
            nonzero=True,
            description="Handed out and not settled; and waiting for the delay of a retry.",
            unit="short",
            live=True,
            targets=(
                Target(level("asya_queue_messages", "actor", state="in_flight"), "{{actor}} in flight"),
                Target(level("asya_queue_messages", "actor", state="delayed"), "{{actor}} delayed"),
            ),
        ),
        Panel(
            title="Replicas by actor",
            description="Replicas that take messages.",
            unit="short",
            live=True,
            targets=(Target(level("kube_deployment_status_replicas_ready", "actor"), "{{actor}}"),),
        ),
        Panel(
            title="Age of the oldest ready message",
            description="How long the message at the head of each queue has waited. No line: nothing waits.",
            unit="s",
            thresholds=((60, "warning"), (600, "bad")),
            targets=(Target(level("asya_queue_oldest_message_age_seconds", "actor", highest=True), "{{actor}}"),),
        ),
        Panel(
            title="Scale decisions",
            nonzero=True,
            description="Changes of the number of replicas per second, up and down.",
            unit="short",
            targets=(Target(rate("asya_scale_decisions_total", "actor", "direction"), "{{actor}} {{direction}}"),),
        ),
        Panel(
            title="Tasks by status",
            description="Tasks in the task store. Only `asya up` has one so far.",
            unit="short",
            targets=(Target(level("asya_tasks", "status"), "{{status}}"),),
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
            live=True,
            targets=(Target(rate(FAILED, "actor", "reason"), "{{actor}} {{reason}}"),),
        ),
        Panel(
            title="Calls that failed",
            nonzero=True,
            description="Calls that raised, timed out or crashed per second, each attempt.",
            unit="mps",
            live=True,
            targets=(
                Target(rate("asya_actor_runtime_errors_total", "actor", "error_type"), "{{actor}} {{error_type}}"),
            ),
        ),
        Panel(
            title="Retries",
            nonzero=True,
            description="Retries scheduled per second.",
            unit="mps",
            live=True,
            targets=(Target(rate("asya_actor_retries_total", "actor"), "{{actor}}"),),
        ),
        Panel(
            title="Delay of retries, mean",
            description="How long scheduled retries wait.",
            unit="s",
            targets=(Target(mean("asya_actor_retry_delay_seconds", "actor"), "{{actor}}"),),
        ),
        Panel(
            title="Nothing is received because",
            nonzero=True,
            description="Replicas that receive nothing, by reason, such as no runtime or an open circuit.",
            unit="short",
            stack=True,
            targets=(Target(level("asya_actor_receiving_blocked", "actor", "reason"), "{{actor}} {{reason}}"),),
        ),
        Panel(
            title="Deliveries that came again, leases lost, reconnects",
            description="Per second. Each lost lease and each reconnect brings deliveries that were handed out before.",
            unit="short",
            targets=(
                Target(rate("asya_actor_messages_redelivered_total", "actor"), "{{actor}} redelivered"),
                Target(rate("asya_actor_leases_lost_total", "actor"), "{{actor}} lease lost"),
                Target(rate("asya_actor_reconnects_total", "actor"), "{{actor}} reconnect"),
            ),
        ),
        Panel(
            title="Processes started again",
            nonzero=True,
            description="Containers, or processes of `asya up`, that ended by themselves, per second.",
            unit="short",
            width=24,
            height=6,
            targets=(
                Target(
                    rate("kube_pod_container_status_restarts_total", "actor", "container"), "{{actor}} {{container}}"
                ),
            ),
        ),
    ),
)

MESH = Dashboard(
    uid="asya-mesh",
    title="Asya / Mesh",
    description="All actors of a namespace: throughput, latency, queues, trouble.",
    rows=(NOW, THROUGHPUT, LATENCY, QUEUES, TROUBLE),
)
