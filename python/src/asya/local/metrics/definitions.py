"""What the supervisor exposes besides its replicas' metrics, as data; dashboards and alerts are checked against it.

Where a cluster has a name for the same thing, that name and its labels are used (kube-state-metrics, KEDA), so that one
set of dashboards serves both.

Sources: kubernetes/kube-state-metrics docs/metrics; keda.sh/docs/2.17/integrations/prometheus.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class OwnMetric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric. `name` is whole; `values` has the possible values of labels with a closed set.

    `actor_label` says which label names the actor, and how: a regular expression whose first group is the name.
    """

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...]
    values: dict[str, tuple[str, ...]] = {}
    actor_label: tuple[str, str] | None = None


HPA_PREFIX = "keda-hpa-"
CONTAINERS = {"sidecar": "asya-sidecar", "runtime": "asya-runtime"}
QUEUE_STATES = ("ready", "in_flight", "delayed", "dead")
TASK_STATES = ("pending", "running", "paused", "succeeded", "failed", "canceled")

_DEPLOYMENT = ("deployment", "(.+)")
_HPA = ("horizontalpodautoscaler", f"{HPA_PREFIX}(.+)")
_SCALED_OBJECT = ("scaledObject", "(.+)")
# A Deployment's pods end in two random words, a replica of `asya up` in its number.
_POD = ("pod", "(.+?)(?:-[a-z0-9]+-[a-z0-9]{5}|-[0-9]+)")


def _deployment(name: str, text: str) -> OwnMetric:
    return OwnMetric(
        name=f"kube_deployment_{name}",
        kind="gauge",
        help=text,
        labels=("namespace", "deployment"),
        actor_label=_DEPLOYMENT,
    )


def _hpa(name: str, text: str) -> OwnMetric:
    return OwnMetric(
        name=f"kube_horizontalpodautoscaler_{name}",
        kind="gauge",
        help=text,
        labels=("namespace", "horizontalpodautoscaler"),
        actor_label=_HPA,
    )


WANTED = _deployment("spec_replicas", "Replicas wanted.")
RUNNING = _deployment("status_replicas", "Replicas with processes, draining ones included.")
READY = _deployment("status_replicas_ready", "Replicas that take messages.")
MIN = _hpa("spec_min_replicas", "Least replicas.")
MAX = _hpa("spec_max_replicas", "Most replicas.")
BACKLOG = OwnMetric(
    name="keda_scaler_metrics_value",
    kind="gauge",
    help="Messages that count for the autoscaler.",
    labels=("namespace", "scaledObject", "scaler", "metric", "triggerIndex", "type"),
    actor_label=_SCALED_OBJECT,
)
RESTARTS = OwnMetric(
    name="kube_pod_container_status_restarts_total",
    kind="counter",
    help="Processes started again after they had ended by themselves.",
    labels=("namespace", "pod", "container"),
    actor_label=_POD,
)
QUEUE = OwnMetric(
    name="asya_queue_messages",
    kind="gauge",
    help="Messages in an actor's queue by state; dead ones are in its DLQ. No series: the broker cannot tell.",
    labels=("namespace", "actor", "state"),
    values={"state": QUEUE_STATES},
)
OLDEST = OwnMetric(
    name="asya_queue_oldest_message_age_seconds",
    kind="gauge",
    help="Age of the oldest message that is ready. No series: nothing waits, or the broker cannot tell.",
    labels=("namespace", "actor"),
)
TASKS = OwnMetric(
    name="asya_tasks",
    kind="gauge",
    help="Tasks in the task store by status.",
    labels=("namespace", "status"),
    values={"status": TASK_STATES},
)
SCALINGS = OwnMetric(
    name="asya_scale_decisions_total",
    kind="counter",
    help="Changes of the number of replicas.",
    labels=("namespace", "actor", "direction"),
    values={"direction": ("up", "down")},
)
UNREAD = OwnMetric(
    name="asya_replica_scrape_failures_total",
    kind="counter",
    help="Times a running sidecar did not answer with its metrics.",
    labels=("namespace", "actor", "replica"),
)

ALL = (WANTED, RUNNING, READY, MIN, MAX, BACKLOG, RESTARTS, QUEUE, OLDEST, TASKS, SCALINGS, UNREAD)
