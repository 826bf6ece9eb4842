"""When somebody must be told. Each rule has a heading in docs/guides/monitoring.md that says what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from asya.local.metrics.query import Query, Ratio
from monitoring.catalogue import level, named, quantile, rate
from monitoring.promql import promql

GUIDE = "docs/guides/monitoring.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One rule. `lasting`: how long the expression must hold, as Prometheus writes durations."""

    name: str
    expression: str
    lasting: str
    severity: Literal["warning", "critical"]
    summary: str
    description: str

    @property
    def runbook(self) -> str:
        """Where it says what to do."""
        return f"{GUIDE}#{self.name.lower()}"


_WHO = ("namespace", "actor")
_BACKLOG = "keda_scaler_metrics_value"
_SAID = "{{ $labels.actor }} in {{ $labels.namespace }}"


def _now(query: Query, window: str = "5m") -> str:
    return promql(query, window, scoped=False)


def _grew(metric: str, window: str, **where: str) -> str:
    """How much a counter grew, also one whose first value is not 0: `increase` alone does not see that one.

    A series counts as new when it was not there for an hour: a gap in scraping is no reason.
    """
    one = named(metric, *_WHO, **where)
    fresh = f"{one} unless last_over_time({one}[1h] offset {window})"
    return f"sum by (namespace, actor) (increase({one}[{window}]) > 0 or ({fresh}))"


def _over_backlog(function: str) -> str:
    return f'max by (namespace, actor) (label_replace({function}, "actor", "$1", "scaledObject", "(.+)"))'


_FAILED = rate("asya_actor_messages_failed_total", *_WHO)
_PROCESSED = rate("asya_actor_messages_processed_total", *_WHO)
_OLDEST = _now(level("asya_queue_oldest_message_age_seconds", *_WHO, highest=True))
_WAITED = _now(quantile(0.95, "asya_actor_queue_wait_seconds", *_WHO))
_WANTED = _now(level("kube_deployment_spec_replicas", *_WHO))
_MOST = _now(level("kube_horizontalpodautoscaler_spec_max_replicas", *_WHO))
_DEAD = named("asya_queue_messages", *_WHO, state="dead")
_WAITING = _now(level(_BACKLOG, *_WHO))
_GROWING = _over_backlog(f"delta({named(_BACKLOG, 'scaledObject')}[10m])")

ALERTS = (
    Alert(
        name="AsyaErrorRateHigh",
        expression=f"{_now(Ratio(top=_FAILED, bottom=_PROCESSED))} > 0.1",
        lasting="5m",
        severity="warning",
        summary=f"More than one message in ten fails at {_SAID}",
        description="{{ $value | humanizePercentage }} of its messages ended in failure in the last five minutes.",
    ),
    Alert(
        name="AsyaQueueLong",
        expression=f"{_WAITING} > 1000",
        lasting="10m",
        severity="warning",
        summary=f"The queue of {_SAID} is long",
        description="{{ $value }} messages wait.",
    ),
    Alert(
        name="AsyaMessagesOld",
        expression=f"({_OLDEST} or {_WAITED}) > 600",
        lasting="5m",
        severity="warning",
        summary=f"Messages for {_SAID} wait too long",
        description="The oldest message has waited {{ $value | humanizeDuration }}.",
    ),
    Alert(
        name="AsyaAtMaxReplicas",
        expression=f"({_WANTED} >= on (namespace, actor) {_MOST}) and on (namespace, actor) {_WAITING} > 0",
        lasting="15m",
        severity="warning",
        summary=f"{_SAID} cannot grow further",
        description="It has had all {{ $value }} replicas it may have for 15 minutes, and messages still wait.",
    ),
    Alert(
        name="AsyaProcessingSlow",
        expression=f"{_now(quantile(0.95, 'asya_actor_processing_duration_seconds', *_WHO))} > 60",
        lasting="10m",
        severity="warning",
        summary=f"{_SAID} is slow",
        description="One message in twenty takes more than {{ $value | humanizeDuration }}.",
    ),
    Alert(
        name="AsyaRuntimeErrors",
        expression=f"{_now(rate('asya_actor_runtime_errors_total', *_WHO, 'error_type'))} > 0.05",
        lasting="10m",
        severity="warning",
        summary=f"Calls keep failing at {_SAID}",
        description="{{ $value | humanize }} calls a second end in {{ $labels.error_type }}, retried ones included.",
    ),
    Alert(
        name="AsyaNotConsuming",
        expression=f"{_GROWING} > 0 unless on (namespace, actor) {_now(_PROCESSED, '10m')} > 0",
        lasting="10m",
        severity="critical",
        summary=f"Nothing is consumed by {_SAID} while its queue grows",
        description='{{ $value | printf "%.0f" }} messages came in ten minutes, and none was handled.',
    ),
    Alert(
        name="AsyaDeadLettersGrow",
        expression=f"sum by (namespace, actor) ({_DEAD} - min_over_time({_DEAD}[15m])) > 0",
        lasting="1m",
        severity="critical",
        summary=f"Messages of {_SAID} are dead-lettered",
        description='{{ $value | printf "%.0f" }} more messages are in its dead-letter queue than 15 minutes ago.',
    ),
    Alert(
        name="AsyaSumpReceives",
        expression=f"{_grew('asya_actor_messages_sent_total', '10m', message_type='sump')} > 0",
        lasting="0m",
        severity="warning",
        summary=f"{_SAID} sends messages to the last resort",
        description='{{ $value | printf "%.0f" }} messages went to x-sump in ten minutes: nobody could use them.',
    ),
    Alert(
        name="AsyaReconnectStorm",
        expression="max by (namespace, actor) (increase({}[10m])) > 5".format(
            named("asya_actor_reconnects_total", *_WHO)
        ),
        lasting="1m",
        severity="warning",
        summary=f"{_SAID} loses the broker again and again",
        description='One replica has reconnected {{ $value | printf "%.0f" }} times in ten minutes.',
    ),
    Alert(
        name="AsyaCircuitOpen",
        # Half-open counts: a circuit that keeps opening again passes through it.
        expression=f"{_now(level('asya_actor_circuit_state', *_WHO, 'target', highest=True))} > 0",
        lasting="5m",
        severity="warning",
        summary=f"The circuit of {{{{ $labels.target }}}} at {_SAID} is open",
        description="Its calls failed too often; messages stay in the queue.",
    ),
    Alert(
        name="AsyaLeaseLost",
        expression=f"{_grew('asya_actor_leases_lost_total', '10m')} > 0",
        lasting="0m",
        severity="warning",
        summary=f"{_SAID} lost leases",
        description='{{ $value | printf "%.0f" }} messages went to somebody else while they were handled.',
    ),
    Alert(
        name="AsyaRuntimeMissing",
        expression=f"{_now(level('asya_actor_receiving_blocked', *_WHO, highest=True, reason='no_runtime'))} > 0",
        lasting="10m",
        severity="critical",
        summary=f"A replica of {_SAID} has no runtime",
        description="Its sidecar receives nothing: the handler's process is away, or cannot import the handler.",
    ),
    Alert(
        name="AsyaProcessRestarts",
        expression=f"{_now(rate('kube_pod_container_status_restarts_total', *_WHO, 'container'), '15m')} * 900 > 3",
        lasting="1m",
        severity="warning",
        summary=f"{{{{ $labels.container }}}} of {_SAID} keeps ending",
        description='It was started again {{ $value | printf "%.0f" }} times in 15 minutes.',
    ),
)
