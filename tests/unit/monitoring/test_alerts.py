"""Every alert rule fires on series that deserve it and stays quiet on those that do not, told by Prometheus itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import dashboards
import pages
import pytest
import yaml
from monitoring.alerts import ALERTS, GUIDE, Alert
from tests.support.prometheus import promtool

BY_NAME = {alert.name: alert for alert in ALERTS}
WHO = 'namespace="n",actor="a"'


@dataclass(frozen=True)
class Case:
    """Series, one value a minute, and what is told at minute `at`; nothing where `told` is None."""

    alert: str
    series: dict[str, str]
    told: str | None = None
    at: int = 30
    labels: tuple[tuple[str, str], ...] = ()


def _keda(values: str) -> dict[str, str]:
    return {'keda_scaler_metrics_value{namespace="n",scaledObject="a"}': values}


def _replicas(wanted: int, most: int) -> dict[str, str]:
    scaler = 'namespace="n",horizontalpodautoscaler="keda-hpa-a"'
    return {
        'kube_deployment_spec_replicas{namespace="n",deployment="a"}': f"{wanted}x60",
        f"kube_horizontalpodautoscaler_spec_max_replicas{{{scaler}}}": f"{most}x60",
        # Somebody else's, which has no HPA of ours.
        'kube_deployment_spec_replicas{namespace="n",deployment="other"}': "3x60",
    }


def _handled(failed: str) -> dict[str, str]:
    return {
        f'asya_actor_messages_processed_total{{{WHO},replica="0",status="success"}}': "0+60x60",
        f'asya_actor_messages_failed_total{{{WHO},replica="0",reason="runtime_error"}}': failed,
    }


def _histogram(name: str, *buckets: tuple[str, str]) -> dict[str, str]:
    return {f'asya_actor_{name}_bucket{{{WHO},replica="0",le="{le}"}}': values for le, values in buckets}


def _one(metric: str, values: str, **labels: str) -> dict[str, str]:
    more = "".join(f',{label}="{value}"' for label, value in labels.items())
    return {f'{metric}{{{WHO},replica="0"{more}}}': values}


SUMP, LEASE = "asya_actor_messages_sent_total", "asya_actor_leases_lost_total"
POD = 'kube_pod_container_status_restarts_total{namespace="n",pod="a-6d4cf56db6-x2b9k",container="asya-runtime"}'
LOCAL_POD = 'kube_pod_container_status_restarts_total{namespace="n",pod="a-0",container="asya-runtime"}'
QUEUE, BLOCKED = "asya_queue_messages", "asya_actor_receiving_blocked"
CIRCUIT = "asya_actor_circuit_state"

CASES = [
    Case("AsyaErrorRateHigh", _handled("0+15x60"), "25% of its messages ended in failure in the last five minutes."),
    Case("AsyaErrorRateHigh", _handled("0+3x60")),
    Case("AsyaErrorRateHigh", _handled("0+15x60"), at=3),
    Case("AsyaQueueLong", _keda("1500x60"), "1500 messages wait."),
    Case("AsyaQueueLong", _keda("1000x60")),
    Case("AsyaQueueLong", _keda("1500x60"), at=5),
    Case(
        "AsyaMessagesOld",
        {f"asya_queue_oldest_message_age_seconds{{{WHO}}}": "700x60"},
        "The oldest message has waited 11m 40s.",
    ),
    Case("AsyaMessagesOld", {f"asya_queue_oldest_message_age_seconds{{{WHO}}}": "100x60"}),
    Case(
        "AsyaMessagesOld",
        _histogram("queue_wait_seconds", ("300", "0x60"), ("900", "0+60x60"), ("+Inf", "0+60x60")),
        "The oldest message has waited 14m 30s.",
    ),
    Case("AsyaMessagesOld", _histogram("queue_wait_seconds", ("300", "0+60x60"), ("+Inf", "0+60x60"))),
    Case(
        "AsyaAtMaxReplicas",
        _replicas(3, 3) | _keda("50x60"),
        "It has had all 3 replicas it may have for 15 minutes, and messages still wait.",
    ),
    Case("AsyaAtMaxReplicas", _replicas(2, 3) | _keda("50x60")),
    Case("AsyaAtMaxReplicas", _replicas(3, 3) | _keda("0x60")),
    Case(
        "AsyaProcessingSlow",
        _histogram("processing_duration_seconds", ("60", "0x60"), ("120", "0+60x60"), ("+Inf", "0+60x60")),
        "One message in twenty takes more than 1m 57s.",
    ),
    Case("AsyaProcessingSlow", _histogram("processing_duration_seconds", ("60", "0+60x60"), ("+Inf", "0+60x60"))),
    Case(
        "AsyaRuntimeErrors",
        _one("asya_actor_runtime_errors_total", "0+6x60", queue="q", error_type="timeout"),
        "100m calls a second end in timeout, retried ones included.",
        labels=(("error_type", "timeout"),),
    ),
    Case("AsyaRuntimeErrors", _one("asya_actor_runtime_errors_total", "0+1x60", queue="q", error_type="timeout")),
    Case(
        "AsyaNotConsuming",
        _keda("0+10x60") | _one("asya_actor_messages_processed_total", "5x60", status="success"),
        "100 messages came in ten minutes, and none was handled.",
    ),
    Case("AsyaNotConsuming", _keda("0+10x60"), "100 messages came in ten minutes, and none was handled."),
    Case(
        "AsyaNotConsuming",
        _keda("0+10x60") | _one("asya_actor_messages_processed_total", "0+1x60", status="success"),
    ),
    Case("AsyaNotConsuming", _keda("100x60")),
    Case(
        "AsyaDeadLettersGrow",
        {f'{QUEUE}{{{WHO},state="dead"}}': "2x20 5x40"},
        "3 more messages are in its dead-letter queue than 15 minutes ago.",
    ),
    Case("AsyaDeadLettersGrow", {f'{QUEUE}{{{WHO},state="dead"}}': "5x60"}),
    Case("AsyaDeadLettersGrow", {f'{QUEUE}{{{WHO},state="ready"}}': "2x20 5x40"}),
    Case(
        "AsyaSumpReceives",
        _one(SUMP, "_x24 2x36", destination_queue="asya_n_x-sump", message_type="sump"),
        "2 messages went to x-sump in ten minutes: nobody could use them.",
    ),
    Case("AsyaSumpReceives", _one(SUMP, "2x60", destination_queue="asya_n_x-sump", message_type="sump")),
    # Prometheus was away for twenty minutes: what it had seen before is not new.
    Case("AsyaSumpReceives", _one(SUMP, "2x5 _x20 2x35", destination_queue="asya_n_x-sump", message_type="sump")),
    Case("AsyaSumpReceives", _one(SUMP, "0+9x60", destination_queue="asya_n_b", message_type="routing")),
    Case(
        "AsyaReconnectStorm",
        _one("asya_actor_reconnects_total", "0+1x60", transport="rabbitmq"),
        "One replica has reconnected 10 times in ten minutes.",
    ),
    Case("AsyaReconnectStorm", _one("asya_actor_reconnects_total", "0x25 2x35", transport="rabbitmq")),
    Case(
        "AsyaCircuitOpen",
        _one(CIRCUIT, "2 1 2 2 1 2 1 2x53", target="b"),
        "Its calls failed too often; messages stay in the queue.",
        labels=(("target", "b"),),
    ),
    Case("AsyaCircuitOpen", _one(CIRCUIT, "0x60", target="b")),
    Case("AsyaCircuitOpen", _one(CIRCUIT, "0x26 2x4 0x30", target="b")),
    Case(
        "AsyaLeaseLost",
        _one(LEASE, "_x24 3x36", queue="q"),
        "3 messages went to somebody else while they were handled.",
    ),
    Case("AsyaLeaseLost", _one(LEASE, "0x60", queue="q")),
    Case(
        "AsyaRuntimeMissing",
        _one(BLOCKED, "1x60", reason="no_runtime"),
        "Its sidecar receives nothing: the handler's process is away, or cannot import the handler.",
    ),
    Case("AsyaRuntimeMissing", _one(BLOCKED, "1x25 0x35", reason="no_runtime")),
    Case(
        "AsyaProcessRestarts",
        {POD: "0+1x60"},
        "It was started again 15 times in 15 minutes.",
        labels=(("container", "asya-runtime"),),
    ),
    Case(
        "AsyaProcessRestarts",
        {LOCAL_POD: "0+1x60"},
        "It was started again 15 times in 15 minutes.",
        labels=(("container", "asya-runtime"),),
    ),
    Case("AsyaProcessRestarts", {POD: "0x20 1x40"}),
]


def _expected(case: Case, alert: Alert) -> list[dict[str, dict[str, str]]]:
    if case.told is None:
        return []
    labels = {"namespace": "n", "actor": "a", "severity": alert.severity, **dict(case.labels)}
    summary = alert.summary
    for label, value in labels.items():
        summary = summary.replace(f"{{{{ $labels.{label} }}}}", value)
    return [
        {
            "exp_labels": labels,
            "exp_annotations": {"summary": summary, "description": case.told, "runbook_url": alert.runbook},
        }
    ]


def test_rules_are_rules() -> None:
    done = promtool("check", "rules", str(dashboards.CHART / "alerts.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout


@pytest.mark.parametrize("name", BY_NAME)
def test_rule_fires_and_stays_quiet(tmp_path: Path, name: str) -> None:
    alert, cases = BY_NAME[name], [case for case in CASES if case.alert == name]
    assert {case.told is None for case in cases} == {True, False}, "one case that fires and one that does not"
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
            "alert_rule_test": [{"eval_time": f"{case.at}m", "alertname": name, "exp_alerts": _expected(case, alert)}],
        }
        for case in cases
    ]
    (tmp_path / "alerts.yaml").write_text((dashboards.CHART / "alerts.yaml").read_text())
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": tests}))
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_has_its_heading_in_the_guide() -> None:
    anchors = pages.read(dashboards.ROOT / GUIDE).anchors
    assert [alert.name for alert in ALERTS if alert.runbook.partition("#")[2] not in anchors] == []
    assert len(BY_NAME) == len(ALERTS)
