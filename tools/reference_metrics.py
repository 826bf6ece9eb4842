"""The page of all metrics, from their definitions."""

from __future__ import annotations

from asya_sidecar.metrics import definitions as known

HEAD = """\
# Metrics

<!-- Generated from asya_sidecar.metrics by `make docs`; edit the definitions, not this page. -->

What a sidecar serves at `/metrics` (`ASYA_METRICS_ADDR`), as Prometheus text or OpenMetrics. Every series also has the
labels `actor` and `namespace`. [Observability](../guides/observability.md) says how to use them, and how handlers add
their own.

| metric | kind | labels | meaning |
|---|---|---|---|
"""


def metrics_page() -> str:
    """Return the page."""
    rows = [
        f"| `{metric.name}` | {metric.kind} | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.help} |\n"
        for metric in known.ALL
    ]
    return HEAD + "".join(rows) + _values() + _buckets()


def _values() -> str:
    head = "\n## Values of labels\n\nOther labels hold names of queues.\n\n| label | of | values |\n|---|---|---|\n"
    return head + "".join(
        f"| `{label}` | `{metric.name}` | {', '.join(f'`{value}`' for value in values)} |\n"
        for metric in known.ALL
        for label, values in metric.values.items()
    )


def _buckets() -> str:
    return "\n## Buckets\n\n| metric | upper bounds |\n|---|---|\n" + "".join(
        f"| `{metric.name}` | {', '.join(f'{bound:g}' for bound in metric.buckets)} |\n"
        for metric in known.ALL
        if metric.buckets
    )
