"""A route: choose its actors, and see where its tasks spend their time and where they end."""

from __future__ import annotations

from asya.local.metrics.query import Ratio
from monitoring.catalogue import mean, quantile, rate
from monitoring.mesh import END, FAILED, PROCESSED, WAIT
from monitoring.panels import Dashboard, Panel, Row, Target

HOPS = "asya_actor_task_hops"
SENT = "asya_actor_messages_sent_total"
# Routes end at crew actors, whatever actors are chosen.
ENDS = "x-sink|x-sump"

TASKS = Row(
    "Tasks",
    (
        Panel(
            title="Tasks that ended",
            description="Tasks per second that reached the end of their route, by phase. All routes of the namespace.",
            unit="mps",
            stack=True,
            targets=(Target(rate(PROCESSED, "actor", actor=ENDS), "{{actor}}"),),
        ),
        Panel(
            title="Latency of tasks",
            description="From creation to end, by phase. All routes of the namespace.",
            unit="s",
            thresholds=((60, "warning"), (600, "bad")),
            targets=(
                Target(quantile(0.5, END, "phase", actor=ENDS), "{{phase}} P50"),
                Target(quantile(0.95, END, "phase", actor=ENDS), "{{phase}} P95"),
                Target(quantile(0.99, END, "phase", actor=ENDS), "{{phase}} P99"),
            ),
        ),
        Panel(
            title="Hops of tasks",
            description="Actors that tasks had passed at their end. All routes of the namespace.",
            unit="short",
            targets=(
                Target(quantile(0.5, HOPS, actor=ENDS), "P50"),
                Target(quantile(0.99, HOPS, actor=ENDS), "P99"),
            ),
        ),
    ),
)
TIME = Row(
    "Where the time goes",
    (
        Panel(
            title="Wait in the queue, mean",
            description="What a message waits for each of the chosen actors; stacked, the wait on the whole route.",
            unit="s",
            stack=True,
            width=12,
            targets=(Target(mean(WAIT, "actor"), "{{actor}}"),),
        ),
        Panel(
            title="Time in the handler, mean",
            description="What a call takes in each of the chosen actors; stacked, the work on the whole route.",
            unit="s",
            stack=True,
            width=12,
            targets=(Target(mean("asya_actor_runtime_execution_duration_seconds", "actor"), "{{actor}}"),),
        ),
        Panel(
            title="Wait for retries, mean",
            description="What a retried message waits before its next attempt.",
            unit="s",
            width=12,
            targets=(Target(mean("asya_actor_retry_delay_seconds", "actor"), "{{actor}}"),),
        ),
        Panel(
            title="Publishing, mean",
            description="From the decision to the broker's confirmation and the settlement.",
            unit="s",
            width=12,
            targets=(Target(mean("asya_actor_queue_send_duration_seconds", "actor"), "{{actor}}"),),
        ),
    ),
)
WAY = Row(
    "The way",
    (
        Panel(
            title="Messages from actor to actor",
            description="Messages published per second; a hop with less than the one before loses messages.",
            unit="mps",
            width=12,
            targets=(Target(rate(SENT, "actor", "destination"), "{{actor}} → {{destination}}"),),
        ),
        Panel(
            title="Why they were sent",
            description="On the route, again to itself, to the actors of onExhausted, to the end, to the last resort.",
            unit="mps",
            stack=True,
            width=12,
            targets=(Target(rate(SENT, "message_type"), "{{message_type}}"),),
        ),
        Panel(
            title="Where tasks fail",
            nonzero=True,
            description="Messages that ended in failure per second, by actor and reason.",
            unit="mps",
            stack=True,
            targets=(Target(rate(FAILED, "actor", "reason"), "{{actor}} {{reason}}"),),
        ),
        Panel(
            title="Share of calls tried again",
            description="Retries by handled messages.",
            unit="percentunit",
            thresholds=((0.1, "warning"), (0.5, "bad")),
            targets=(
                Target(
                    Ratio(top=rate("asya_actor_retries_total", "actor"), bottom=rate(PROCESSED, "actor")), "{{actor}}"
                ),
            ),
        ),
        Panel(
            title="To the last resort",
            description="Messages per second that went to x-sump: nobody could use them, or their way did not exist.",
            unit="mps",
            thresholds=((0.001, "bad"),),
            targets=(Target(rate(SENT, "actor", message_type="sump"), "{{actor}}"),),
        ),
    ),
)

FLOW = Dashboard(
    uid="asya-flow",
    title="Asya / Flow",
    description="The actors of a route: latency, where the time goes, where tasks fail.",
    rows=(TASKS, TIME, WAY),
)
