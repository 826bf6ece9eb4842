"""The supervisor's own metrics: replicas, queues, scaling, restarts, tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from asya.local.metrics import definitions as d
from asya.local.metrics.merged import Place
from asya.local.pool import Pool
from asya.local.tally import Tally


def own_families(
    pools: Iterable[Pool],
    *,
    namespace: str,
    transport: str,
    tally: Tally,
    tasks: Mapping[str, int],
    unread: Mapping[Place, int],
) -> Iterator[Metric]:
    """Yield one family for each of `definitions.ALL`.

    Args:
        pools: The actors that run here.
        namespace: Their namespace.
        transport: Name of the transport, which stands for KEDA's scaler.
        tally: What the supervisor did.
        tasks: Number of tasks by status.
        unread: Failed questions by actor and replica.
    """
    families = {metric.name: _family(metric) for metric in d.ALL}

    def add(metric: d.OwnMetric, value: float | None, *labels: str) -> None:
        if value is not None:
            families[metric.name].add_metric([namespace, *labels], value)

    for pool in pools:
        name, record = pool.plan.name, pool.record()
        for metric, key in ((d.WANTED, "desired"), (d.RUNNING, "replicas"), (d.READY, "ready")):
            add(metric, record[key], name)
        for metric, key in ((d.MIN, "min"), (d.MAX, "max")):
            add(metric, record[key], f"{d.HPA_PREFIX}{name}")
        add(d.BACKLOG, pool.backlog, name, transport, f"s0-{transport}-{name}", "0", "scaledobject")
        for state in d.QUEUE_STATES:
            add(d.QUEUE, record["depth"][state], name, state)
        add(d.OLDEST, pool.depth.oldest_seconds, name)
        for direction in ("up", "down"):
            add(d.SCALINGS, tally.scalings[(name, direction)], name, direction)
    for (actor, number, process), count in sorted(tally.restarts.items()):
        add(d.RESTARTS, count, f"{actor}-{number}", d.CONTAINERS[process])
    for status in d.TASK_STATES:
        add(d.TASKS, tasks.get(status, 0), status)
    for (actor, number), count in sorted(unread.items()):
        add(d.UNREAD, count, actor, str(number))
    yield from families.values()


def _family(metric: d.OwnMetric) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    return kind(metric.name, metric.help, labels=list(metric.labels))
