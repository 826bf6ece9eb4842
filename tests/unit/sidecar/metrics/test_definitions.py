"""The definitions are complete and well formed: every row counts as something, every name is a legal one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from asya_sidecar import decide
from asya_sidecar.metrics import definitions, outcomes

TABLE = Path(__file__).resolve().parents[3] / "truth-table.yaml"
PUBLIC = {
    "messages_received_total": ("queue", "transport"),
    "messages_processed_total": ("queue", "status"),
    "messages_sent_total": ("destination_queue", "message_type"),
    "messages_failed_total": ("queue", "reason"),
    "processing_duration_seconds": ("queue",),
    "runtime_execution_duration_seconds": ("queue",),
    "queue_receive_duration_seconds": ("queue", "transport"),
    "queue_send_duration_seconds": ("destination_queue", "transport"),
    "message_size_bytes": ("direction",),
    "active_messages": (),
    "runtime_errors_total": ("queue", "error_type"),
}


def _rows() -> dict[str, dict[str, Any]]:
    table = yaml.safe_load(TABLE.read_text())
    return {row["id"]: row for group in table.values() if isinstance(group, list) for row in group if "id" in row}


def test_every_row_counts_as_something() -> None:
    # A row "as for handler-error" has that row's effects; its own id is then the cause.
    as_for = {name for name, row in _rows().items() if str(row.get("to", "")).startswith("as for")}
    assert set(outcomes.ROWS) | outcomes.SETTLES_NOTHING | as_for >= set(_rows())
    assert not set(outcomes.ROWS) & outcomes.SETTLES_NOTHING
    assert as_for <= set(outcomes.CAUSES)
    assert set(outcomes.ROWS) <= set(_rows())


def test_every_row_that_is_decided_counts_as_something() -> None:
    source = "".join(path.read_text() for path in Path(decide.__file__).parent.glob("*.py"))
    decided = set(re.findall(r'row="([a-z-]+)"', source)) | {"unparsable", "no-id", "retry-too-late", "exhausted"}
    assert len(decided) > 15
    assert decided <= set(outcomes.ROWS) | outcomes.SETTLES_NOTHING


def test_every_value_that_is_used_is_named() -> None:
    assert {labels.status for labels in outcomes.ROWS.values()} == set(outcomes.STATUSES)
    assert {labels.reason for labels in outcomes.ROWS.values() if labels.reason} < set(outcomes.FAILURE_REASONS)
    assert set(outcomes.CAUSES.values()) == set(outcomes.ERROR_TYPES)


def test_a_row_that_ends_in_failure_has_a_reason() -> None:
    for name, row in _rows().items():
        if row.get("phase") == "failed" and name in outcomes.ROWS:
            assert outcomes.ROWS[name].reason, name


@pytest.mark.parametrize("metric", definitions.ALL, ids=lambda metric: metric.name)
def test_names_follow_the_rules(metric: definitions.Metric) -> None:
    assert re.fullmatch(r"asya_actor_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not metric.unit or metric.name.removesuffix("_total").endswith("_" + metric.unit)
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert set(metric.values) <= set(metric.labels)
    assert not set(metric.labels) & {*definitions.CONSTANT_LABELS, "le"}
    assert metric.help.endswith(".")


def test_each_name_is_there_once() -> None:
    assert len({metric.name for metric in definitions.ALL}) == len(definitions.ALL)
    stated = [value for value in vars(definitions).values() if isinstance(value, definitions.Metric)]
    assert {id(metric) for metric in stated} == {id(metric) for metric in definitions.ALL}


@pytest.mark.parametrize("name", PUBLIC)
def test_what_the_public_project_has_is_here_with_the_same_labels(name: str) -> None:
    found = {metric.name: metric.labels for metric in definitions.ALL}
    assert found[definitions.PREFIX + name] == PUBLIC[name]
