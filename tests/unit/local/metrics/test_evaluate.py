"""The live page's answers are Prometheus' own: the same series through promtool and through ours."""

import json
from pathlib import Path

import pytest
import yaml
from monitoring.catalogue import level, mean, quantile, rate
from monitoring.promql import promql
from prometheus_client.parser import text_string_to_metric_families
from tests.support.prometheus import promtool

from asya.local.metrics.evaluate import Look, answer, look_at
from asya.local.metrics.live import KEPT_SECONDS, Live, Panel, Target
from asya.local.metrics.query import Query, Ratio

PROCESSED, FAILED = "asya_actor_messages_processed_total", "asya_actor_messages_failed_total"
WAIT, SENT = "asya_actor_queue_wait_seconds", "asya_actor_messages_sent_total"
MINUTE = 60.0
# Series and their growth a minute, all from 0.
GROWING = {
    f'{PROCESSED}{{namespace="n",actor="a",replica="0",queue="q",status="success"}}': 60,
    f'{PROCESSED}{{namespace="n",actor="a",replica="1",queue="q",status="success"}}': 30,
    f'{PROCESSED}{{namespace="n",actor="a",replica="1",queue="q",status="retried"}}': 6,
    f'{PROCESSED}{{namespace="n",actor="b",replica="0",queue="q",status="success"}}': 12,
    f'{FAILED}{{namespace="n",actor="a",replica="0",queue="q",reason="too_large"}}': 6,
    f'{SENT}{{namespace="n",actor="a",replica="0",destination_queue="asya_n_b",message_type="routing"}}': 90,
    f'{SENT}{{namespace="n",actor="b",replica="0",destination_queue="asya-n-x-sink",message_type="sink"}}': 12,
    f'{SENT}{{namespace="n",actor="b",replica="0",destination_queue="other",message_type="routing"}}': 6,
    f'{WAIT}_bucket{{namespace="n",actor="a",replica="0",queue="q",le="0.5"}}': 30,
    f'{WAIT}_bucket{{namespace="n",actor="a",replica="0",queue="q",le="1.0"}}': 54,
    f'{WAIT}_bucket{{namespace="n",actor="a",replica="0",queue="q",le="5.0"}}': 58,
    f'{WAIT}_bucket{{namespace="n",actor="a",replica="0",queue="q",le="+Inf"}}': 60,
    f'{WAIT}_sum{{namespace="n",actor="a",replica="0",queue="q"}}': 48,
    f'{WAIT}_count{{namespace="n",actor="a",replica="0",queue="q"}}': 60,
}
STEADY = {
    'kube_deployment_spec_replicas{namespace="n",deployment="a"}': 3,
    'kube_horizontalpodautoscaler_spec_max_replicas{namespace="n",horizontalpodautoscaler="keda-hpa-a"}': 4,
    'asya_queue_messages{namespace="n",actor="a",state="ready"}': 7,
    'asya_queue_messages{namespace="n",actor="a",state="dead"}': 2,
    'asya_queue_messages{namespace="n",actor="b",state="ready"}': 1,
}
QUERIES: dict[str, Query] = {
    "rate": rate(PROCESSED),
    "rate by actor": rate(PROCESSED, "actor"),
    "rate where": rate(PROCESSED, "replica", status="success", actor="a"),
    "rate where not": rate(PROCESSED, actor="!b|c"),
    "rate to a made label": rate(SENT, "actor", "destination"),
    "level": level("asya_queue_messages", "actor", state="ready"),
    "highest": level("asya_queue_messages", "state", highest=True),
    "level by a made label": level("kube_horizontalpodautoscaler_spec_max_replicas", "actor"),
    "mean": mean(WAIT, "actor"),
    "median": quantile(0.5, WAIT, "actor"),
    "P90": quantile(0.9, WAIT, "actor"),
    "P99, beyond the last bound": quantile(0.99, WAIT),
    "ratio": Ratio(top=rate(FAILED, "actor"), bottom=rate(PROCESSED, "actor")),
}


def _look(minutes: float) -> Look:
    lines = [f"{series} {growth * minutes}" for series, growth in GROWING.items()]
    lines += [f"{series} {value}" for series, value in STEADY.items()]
    return look_at(text_string_to_metric_families("\n".join(lines) + "\n"))


@pytest.mark.parametrize("name", QUERIES)
def test_as_prometheus_answers(tmp_path: Path, name: str) -> None:
    query = QUERIES[name]
    by = query.bottom.by if isinstance(query, Ratio) else query.by
    ours = answer(query, _look(10), _look(5), 5 * MINUTE)
    assert ours
    series = [{"series": text, "values": f"0+{growth}x20"} for text, growth in GROWING.items()]
    series += [{"series": text, "values": f"{value}x20"} for text, value in STEADY.items()]
    expected = [
        {
            # Rounded on both sides: the same arithmetic in another order.
            "labels": "{" + ",".join(f'{label}="{text}"' for label, text in zip(by, labels, strict=True)) + "}",
            "value": round(value, 6),
        }
        for labels, value in ours.items()
    ]
    expression = promql(query, "5m", scoped=False).replace("$namespace", "n")
    test = {"expr": f"round({expression}, 0.000001)", "eval_time": "10m", "exp_samples": expected}
    file = tmp_path / "test.yaml"
    told = {
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": [test]}],
    }
    file.write_text(yaml.safe_dump(told))
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, json.dumps(expected) + done.stdout + done.stderr


def test_without_an_earlier_look_there_is_no_rate() -> None:
    assert answer(rate(PROCESSED), _look(1), None, 0.0) == {}
    assert answer(quantile(0.5, WAIT), _look(1), _look(1), MINUTE) == {}


def test_histories_grow_and_are_forgotten() -> None:
    panel = Panel(
        title="x",
        description="",
        unit="mps",
        kind="timeseries",
        width=8,
        stack=False,
        nonzero=False,
        thresholds=[],
        targets=[Target(rate(PROCESSED, "actor"), "{{actor}}!")],
    )
    live = Live([panel])
    text = f'# TYPE asya_actor_messages_processed_total counter\n{PROCESSED}{{actor="a"}} %d\n'
    for number in range(3):
        live.take(100.0 + 2 * number, text_string_to_metric_families(text % (10 * number)))
    assert live.since(0) == [{"a!": [(102.0, 5.0), (104.0, 5.0)]}]
    assert live.since(102.0) == [{"a!": [(104.0, 5.0)]}]
    live.take(104.0 + KEPT_SECONDS, [])
    assert live.since(0) == [{}]
