"""Every metric of a sidecar, as data: dashboards, alerts, the reference page and the counting code read it here.

Every series also has the constant labels `actor` and `namespace`. The names, and the labels of those that the public
project has too, are compatible with it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from asya_sidecar.metrics.outcomes import (
    ERROR_TYPES,
    FAILURE_REASONS,
    MESSAGE_TYPES,
    PHASES,
    RELEASE_REASONS,
    STATUSES,
    STOP_REASONS,
)

PREFIX = "asya_actor_"
HANDLER_PREFIX = "asya_handler_"
"""What handlers count themselves stands under this prefix, with the handler's own name behind it."""

CONSTANT_LABELS = ("actor", "namespace")

Kind = Literal["counter", "gauge", "histogram"]
Unit = Literal["", "seconds", "bytes"]

WORK_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Half a millisecond to two minutes: a handler, or a whole hop."""
WAIT_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
"""A millisecond to a day: queues, delays, whole tasks."""
BROKER_SECONDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZE_BYTES = (100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9)
HOPS = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 50.0, 100.0, 1000.0)


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric. `name` is whole, with the prefix and, for counters, `_total`.

    `values` gives the possible values of each label that has a closed set; other labels hold names of queues or actors.
    `buckets` are upper bounds in the metric's unit, `+Inf` not among them.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    values: dict[str, tuple[str, ...]] = {}
    buckets: tuple[float, ...] = ()
    unit: Unit = ""


def _metric(
    kind: Kind,
    name: str,
    text: str,
    *labels: str,
    buckets: tuple[float, ...] = (),
    unit: Unit = "",
    **values: tuple[str, ...],
) -> Metric:
    return Metric(name=PREFIX + name, kind=kind, help=text, labels=labels, values=values, buckets=buckets, unit=unit)


# -- messages

RECEIVED = _metric("counter", "messages_received_total", "Deliveries taken up.", "queue", "transport")
PROCESSED = _metric(
    "counter",
    "messages_processed_total",
    "Messages settled, once each.",
    "queue",
    "status",
    status=STATUSES,
)
FAILED = _metric(
    "counter",
    "messages_failed_total",
    "Messages that ended in failure here, once each; a retry is none.",
    "queue",
    "reason",
    reason=FAILURE_REASONS,
)
SENT = _metric(
    "counter",
    "messages_sent_total",
    "Messages published and confirmed.",
    "destination_queue",
    "message_type",
    message_type=MESSAGE_TYPES,
)
RELEASED = _metric(
    "counter",
    "messages_released_total",
    "Deliveries given back to the queue; `unstarted` ones had only been prefetched.",
    "queue",
    "reason",
    reason=RELEASE_REASONS,
)
REDELIVERED = _metric(
    "counter", "messages_redelivered_total", "Deliveries that the broker had handed out before.", "queue"
)
SIZE = _metric(
    "histogram",
    "message_size_bytes",
    "Size of whole messages.",
    "direction",
    buckets=SIZE_BYTES,
    unit="bytes",
    direction=("received", "sent"),
)
ACTIVE = _metric("gauge", "active_messages", "Messages in a slot: from being taken up to being settled.")
HELD = _metric("gauge", "held_messages", "Messages received and not settled, waiting ones included.")
PARKED = _metric("gauge", "parked_messages", "Messages beside the slots that wait for a destination or for the broker.")

# -- times

PROCESSING = _metric(
    "histogram",
    "processing_duration_seconds",
    "From a delivery being taken up to its settlement.",
    "queue",
    buckets=WORK_SECONDS,
    unit="seconds",
)
RUNTIME = _metric(
    "histogram",
    "runtime_execution_duration_seconds",
    "From the call being sent to the runtime to its answer.",
    "queue",
    buckets=WORK_SECONDS,
    unit="seconds",
)
RECEIVE = _metric(
    "histogram",
    "queue_receive_duration_seconds",
    "From a delivery's arrival in the sidecar to its being taken up (the wait of what is prefetched).",
    "queue",
    "transport",
    buckets=BROKER_SECONDS,
    unit="seconds",
)
SEND = _metric(
    "histogram",
    "queue_send_duration_seconds",
    "From the decision to the broker's confirmation and the settlement.",
    "destination_queue",
    "transport",
    buckets=BROKER_SECONDS,
    unit="seconds",
)
QUEUE_WAIT = _metric(
    "histogram",
    "queue_wait_seconds",
    "From the sender's stamp to the arrival here, by both hosts' clocks; delayed retries are left out.",
    "queue",
    buckets=WAIT_SECONDS,
    unit="seconds",
)
END_TO_END = _metric(
    "histogram",
    "end_to_end_duration_seconds",
    "From a task's creation to its end, counted where routes end.",
    "phase",
    buckets=WAIT_SECONDS,
    unit="seconds",
    phase=PHASES,
)
HOP_COUNT = _metric(
    "histogram", "task_hops", "Actors that a task had passed at its end, counted where routes end.", "phase",
    buckets=HOPS, phase=PHASES,
)  # fmt: skip

# -- the runtime and failures

RUNTIME_ERRORS = _metric(
    "counter", "runtime_errors_total", "Calls that failed, each attempt.", "queue", "error_type", error_type=ERROR_TYPES
)
RETRIES = _metric("counter", "retries_total", "Retries scheduled.", "queue", "error_type", error_type=ERROR_TYPES)
RETRY_DELAY = _metric(
    "histogram", "retry_delay_seconds", "Delay of each scheduled retry.", "queue", buckets=WAIT_SECONDS, unit="seconds"
)
RUNTIME_CONNECTED = _metric("gauge", "runtime_connected", "1 while a runtime takes calls, else 0.")
SLOTS = _metric("gauge", "slots", "Calls that may be under way at once; 0 before a runtime has connected.")

# -- the broker

STOPPED = _metric(
    "gauge",
    "receiving_blocked",
    "1 while nothing is received for this reason, else 0.",
    "reason",
    reason=STOP_REASONS,
)
BROKER_CONNECTED = _metric("gauge", "broker_connected", "1 while the broker is connected, else 0.", "transport")
RECONNECTS = _metric("counter", "reconnects_total", "Connections to the broker made again after a loss.", "transport")
LEASES_EXTENDED = _metric("counter", "lease_extensions_total", "Leases extended.", "queue")
LEASES_LOST = _metric("counter", "leases_lost_total", "Deliveries whose lease was lost; they come again.", "queue")

# -- limits that are configured

CIRCUIT_STATE = _metric(
    "gauge", "circuit_state", "Circuit of this actor or of a destination: 0 closed, 1 half-open, 2 open.", "target"
)
CIRCUIT_OPENED = _metric("counter", "circuit_opened_total", "Times that a circuit has opened.", "target")
RATE_LIMITED = _metric(
    "counter",
    "rate_limited_seconds_total",
    "Seconds that messages waited for the rate limit of this actor or of a destination, added up.",
    "target",
    unit="seconds",
)

# -- about itself

HANDLER_REFUSED = _metric(
    "counter",
    "handler_metrics_refused_total",
    "Values of handlers that were not counted.",
    "reason",
    reason=("invalid", "conflict", "too-many-series", "too-many-metrics"),
)
BUILD_INFO = _metric("gauge", "build_info", "Always 1; what runs here.", "version", "python", "transport", "role")

ALL: tuple[Metric, ...] = (
    RECEIVED, PROCESSED, FAILED, SENT, RELEASED, REDELIVERED, SIZE, ACTIVE, HELD, PARKED,
    PROCESSING, RUNTIME, RECEIVE, SEND, QUEUE_WAIT, END_TO_END, HOP_COUNT,
    RUNTIME_ERRORS, RETRIES, RETRY_DELAY, RUNTIME_CONNECTED, SLOTS,
    STOPPED, BROKER_CONNECTED, RECONNECTS, LEASES_EXTENDED, LEASES_LOST,
    CIRCUIT_STATE, CIRCUIT_OPENED, RATE_LIMITED,
    HANDLER_REFUSED, BUILD_INFO,
)  # fmt: skip
