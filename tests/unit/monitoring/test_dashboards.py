"""The generated dashboards: in step, complete, and what Grafana and Prometheus can read."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dashboards
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard as GrafanaDashboard
from monitoring.catalogue import KNOWN
from monitoring.grafana import dashboard_json
from monitoring.panels import Dashboard, Panel
from monitoring.promql import promql
from tests.support.prometheus import promtool

from asya.local.metrics import definitions as supervisor
from asya.local.metrics.live import read_panels
from asya_sidecar.metrics import definitions as sidecar

ALL = dashboards.DASHBOARDS
PANELS = [(dashboard, panel) for dashboard in ALL for panel in dashboard.panels]
BY_UID = pytest.mark.parametrize("dashboard", ALL, ids=[dashboard.uid for dashboard in ALL])
# What Grafana itself puts in, for a dashboard looked at with one namespace and any actor.
VARIABLES = {"$__rate_interval": "5m", "$namespace": "default", "$actor": ".*"}
# Grafana's panel plugins and the version of the dashboard schema that this JSON follows.
PLUGINS = {"row", "timeseries", "stat", "heatmap", "table", "nodeGraph"}


def read(dashboard: Dashboard) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((dashboards.CHART / "dashboards" / f"{dashboard.uid}.json").read_text())
    return found


def test_files_are_in_step_and_nothing_else_lies_there() -> None:
    wanted = dashboards.generated()
    assert {path: path.read_text() for path in wanted} == wanted
    for folder in (dashboards.CHART, dashboards.PACKAGE):
        assert {path for path in folder.rglob("*") if path.is_file()} <= wanted.keys()


@BY_UID
def test_the_same_definition_gives_the_same_text(dashboard: Dashboard) -> None:
    assert dashboard_json(dashboard) == dashboard_json(dashboard)


@BY_UID
def test_grafana_finds_what_it_needs(dashboard: Dashboard) -> None:
    found = read(dashboard)
    assert found["uid"] == dashboard.uid
    assert len(found["uid"]) <= 40
    assert found["schemaVersion"] == 39
    assert found["title"].startswith("Asya / ")
    assert found["description"]
    assert [variable["name"] for variable in found["templating"]["list"]] == ["datasource", "namespace", "actor"]
    numbers = [panel["id"] for panel in found["panels"]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert {panel["type"] for panel in found["panels"]} <= PLUGINS
    for panel in found["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"] in {"s", "bytes", "percentunit", "mps", "short"}
        steps = defaults["thresholds"]["steps"]
        assert steps[0] == {"color": "green", "value": None}
        assert [step["value"] for step in steps[1:]] == sorted({step["value"] for step in steps[1:]})
        assert [target["refId"] for target in panel["targets"]] == list("ABCDEFGH")[: len(panel["targets"])]
        assert all(target["legendFormat"] for target in panel["targets"])
        if panel["type"] == "timeseries":
            assert panel["options"]["legend"]["showLegend"] is True


@BY_UID
def test_grafanas_own_models_know_every_field(dashboard: Dashboard) -> None:
    register_default_plugins()
    given = read(dashboard)
    understood = json.loads(JSONEncoder().encode(GrafanaDashboard.from_json(read(dashboard))))
    assert list(_lost(given, understood)) == []


def _lost(given: Any, understood: Any, place: str = "") -> Iterator[str]:
    """Name what is not there any more, or something else, after Grafana's models have read and written it."""
    if isinstance(given, dict) and isinstance(understood, dict):
        for name, value in given.items():
            if name not in understood:
                yield f"{place}/{name}: {value}"
            else:
                yield from _lost(value, understood[name], f"{place}/{name}")
    elif isinstance(given, list) and isinstance(understood, list) and len(given) == len(understood):
        for number, (one, other) in enumerate(zip(given, understood, strict=True)):
            yield from _lost(one, other, f"{place}/{number}")
    elif given != understood:
        yield f"{place}: {given} → {understood}"


@BY_UID
def test_panels_do_not_overlap(dashboard: Dashboard) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in read(dashboard)["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
        for cell in cells:
            assert taken.setdefault(cell, panel["title"]) == panel["title"], f"{panel['title']} lies on {taken[cell]}"


@pytest.mark.parametrize(
    ("dashboard", "panel"), PANELS, ids=[f"{dashboard.uid}: {panel.title}" for dashboard, panel in PANELS]
)
def test_legends_name_labels_that_stay(dashboard: Dashboard, panel: Panel) -> None:
    for target in panel.targets:
        query = target.query
        by = query.top.by if hasattr(query, "top") else query.by
        named = {part.partition("}}")[0] for part in target.legend.split("{{")[1:]}
        assert named <= {*by, "le"}
    legends = [target.legend for target in panel.targets]
    assert len(set(legends)) == len(legends)


@BY_UID
def test_promtool_reads_every_expression(tmp_path: Path, dashboard: Dashboard) -> None:
    rules = []
    for panel in read(dashboard)["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            assert "$" not in expression.replace('"$1"', ""), f"{panel['title']}: a variable nobody fills in"
            rules.append({"record": f"panel:{panel['id']}:{target['refId']}", "expr": expression})
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": dashboard.uid, "rules": rules}]}))
    done = promtool("check", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_promtool_refuses_an_expression_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(
        yaml.safe_dump({"groups": [{"name": "x", "rules": [{"record": "x:y", "expr": "sum by (rate(x)"}]}]})
    )
    assert promtool("check", "rules", str(file)).returncode != 0


def test_every_metric_is_shown_somewhere() -> None:
    text = " ".join(promql(target.query) for _, panel in PANELS for target in panel.targets)
    shown = set(re.findall(r"\w+", text + (dashboards.CHART / "alerts.yaml").read_text()))
    shown |= {name.removesuffix("_bucket").removesuffix("_sum") for name in shown}
    # Bounds and draining replicas say nothing about how an actor does; failed scrapes are for whoever doubts the rest.
    left_out = {supervisor.MIN.name, supervisor.RUNNING.name, supervisor.UNREAD.name}
    assert KNOWN.keys() - shown == left_out
    assert {metric.name for metric in (*sidecar.ALL, *supervisor.ALL)} == KNOWN.keys()


def test_the_live_page_gets_the_panels_that_are_marked() -> None:
    told = read_panels((dashboards.PACKAGE / "panels.json").read_bytes())
    assert [panel.title for panel in told] == [panel.title for _, panel in PANELS if panel.live]
    assert [panel.targets[0].query for panel in told] == [panel.targets[0].query for _, panel in PANELS if panel.live]
