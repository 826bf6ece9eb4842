"""A panel or rule cannot ask for what does not exist."""

from collections.abc import Callable

import pytest
from monitoring.catalogue import DefinitionError, level, named, quantile, rate
from monitoring.promql import promql

from asya.local.metrics.query import Query, Ratio

PROCESSED = "asya_actor_messages_processed_total"
MOST = "kube_horizontalpodautoscaler_spec_max_replicas"


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: rate("asya_actor_messages_procesed_total"), "there is no metric asya_actor_messages_procesed_total"),
        (lambda: rate(PROCESSED, "state"), "has no label state; it has queue, status"),
        (lambda: rate(PROCESSED, status="succes"), "has no status 'succes'"),
        (lambda: rate(PROCESSED, status="!success|succes"), "has no status 'succes'"),
        (lambda: rate(PROCESSED, reason="x"), "has no label reason"),
        (lambda: level(PROCESSED), "is a counter: no level of it"),
        (lambda: rate("asya_actor_slots"), "is a gauge: no rate of it"),
        (lambda: quantile(0.5, PROCESSED), "is a counter: no quantile of it"),
        (lambda: named("asya_queue_messages", state="lost"), "has no state 'lost'"),
        (lambda: level("kube_deployment_spec_replicas", "replica"), "has no label replica"),
    ],
)
def test_what_does_not_exist_is_refused(ask: Callable[[], object], told: str) -> None:
    with pytest.raises(DefinitionError, match=told.replace("(", r"\(")):
        ask()


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (
            rate(PROCESSED, "actor", status="!success|retried"),
            'sum by (actor) (rate(PROCESSED{status!~"success|retried", SCOPE, actor=~"$actor"}[$__rate_interval]))',
        ),
        (level("asya_actor_slots", highest=True), 'max(asya_actor_slots{SCOPE, actor=~"$actor"})'),
        # Named in the query: the dashboard's choice does not count.
        (rate(PROCESSED, actor="x-sink"), 'sum(rate(PROCESSED{actor="x-sink", SCOPE}[$__rate_interval]))'),
        # Labels of a cluster become `actor`.
        (
            level("keda_scaler_metrics_value", "actor"),
            (
                'sum by (actor) (label_replace(keda_scaler_metrics_value{SCOPE, scaledObject=~"$actor"}, '
                '"actor", "$1", "scaledObject", "(.+)"))'
            ),
        ),
        (level(MOST), f'sum({MOST}{{SCOPE, horizontalpodautoscaler=~"keda-hpa-$actor"}})'),
        (level("asya_tasks"), "sum(asya_tasks{SCOPE})"),
    ],
)
def test_queries_become_promql(query: Query, text: str) -> None:
    whole = text.replace("PROCESSED", PROCESSED).replace("SCOPE", 'namespace="$namespace"')
    assert promql(query) == whole


def test_a_ratio_is_zero_where_only_the_top_is_missing() -> None:
    ratio = Ratio(top=rate("asya_actor_messages_failed_total"), bottom=rate(PROCESSED))
    top, bottom = promql(ratio.top, "5m", scoped=False), promql(ratio.bottom, "5m", scoped=False)
    assert promql(ratio, "5m", scoped=False) == f"({top} or {bottom} * 0) / ({bottom} > 0)"
