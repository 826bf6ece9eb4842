"""Dashboards as Grafana's JSON: the same text for the same definition.

Source: grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model. A test
holds the result against the models of Grafana's own SDK.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from monitoring.panels import Dashboard, Panel, Row
from monitoring.promql import promql

SCHEMA_VERSION = 39
COLUMNS = 24
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLOURS = {"warning": "orange", "bad": "red"}
Json = dict[str, Any]


def dashboard_json(dashboard: Dashboard) -> str:
    """Return the dashboard's file."""
    return json.dumps(_dashboard(dashboard), indent=2, ensure_ascii=False) + "\n"


def _dashboard(dashboard: Dashboard) -> Json:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["asya"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [
            {
                "title": "Asya",
                "type": "dashboards",
                "tags": ["asya"],
                "asDropdown": False,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
                "icon": "external link",
                "tooltip": "",
                "url": "",
            }
        ],
        "templating": {"list": list(_variables(dashboard))},
        "panels": list(_placed(dashboard.rows)),
    }


def _variables(dashboard: Dashboard) -> Iterator[Json]:
    yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0}
    yield _variable("namespace", "Namespace", "label_values(asya_actor_build_info, namespace)")
    actors = _variable("actor", "Actor", 'label_values(asya_actor_build_info{namespace="$namespace"}, actor)')
    if dashboard.several:
        # Not the list of names: an actor at zero replicas would be left out.
        actors |= {
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": ["All"], "value": ["$__all"]},
        }
    yield actors


def _variable(name: str, label: str, query: str) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": f"{name}s"},
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "multi": False,
        "includeAll": False,
    }


def _placed(rows: tuple[Row, ...]) -> Iterator[Json]:
    """Yield rows and panels from the left to the right and downwards, numbered from 1."""
    number, top = 1, 0
    for row in rows:
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": top},
            "panels": [],
        }
        number, top, left, height = number + 1, top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                top, left, height = top + height, 0, 0
            place = {"h": panel.height, "w": panel.width, "x": left, "y": top}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            number, left, height = number + 1, left + panel.width, max(height, panel.height)
        top += height


def _panel(panel: Panel) -> Json:
    return {
        "type": {"nodegraph": "nodeGraph"}.get(panel.kind, panel.kind),
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _OPTIONS[panel.kind],
        "targets": list(_targets(panel)),
        **({"transformations": _TABLES[panel.kind]} if panel.kind in _TABLES else {}),
    }


def _defaults(panel: Panel) -> Json:
    steps: list[Json] = [{"color": "green", "value": None}]
    steps += [{"color": _COLOURS[level], "value": value} for value, level in panel.thresholds]
    defaults: Json = {
        "unit": panel.unit,
        "min": 0,
        "color": {"mode": "thresholds" if panel.kind == "stat" else "palette-classic"},
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 30 if panel.stack else 8,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"group": "A", "mode": "normal" if panel.stack else "none"},
            "thresholdsStyle": {"mode": "dashed" if panel.thresholds else "off"},
        }
    return defaults


def _targets(panel: Panel) -> Iterator[Json]:
    for number, target in enumerate(panel.targets):
        expression = promql(target.query) + (" > 0" if panel.nonzero else "")
        if panel.kind == "nodegraph":
            # A field `id` is what makes rows of a table edges.
            edges = f'label_replace({expression}, "source", "$1", "actor", "(.+)")'
            edges = f'label_replace({edges}, "target", "$1", "destination", "(.+)")'
            expression = f'label_join({edges}, "id", " → ", "source", "target")'
        yield {
            "refId": chr(ord("A") + number),
            "datasource": _SOURCE,
            "editorMode": "code",
            "expr": expression,
            "legendFormat": target.legend,
            "format": {"timeseries": "time_series", "stat": "time_series", "heatmap": "heatmap"}.get(
                panel.kind, "table"
            ),
            "instant": panel.kind in _TABLES,
            "range": panel.kind not in _TABLES,
        }


_LEGEND = {"showLegend": True, "displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}
_REDUCED = {"values": False, "calcs": ["lastNotNull"], "fields": ""}
_OPTIONS: dict[str, Json] = {
    "timeseries": {"legend": _LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}},
    "stat": {
        "reduceOptions": _REDUCED,
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
    },
    "heatmap": {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "reverse": False},
        "legend": {"show": True},
        "tooltip": {"show": True, "yHistogram": False},
        "yAxis": {"unit": "s", "axisPlacement": "left"},
    },
    "table": {"showHeader": True, "cellHeight": "sm", "sortBy": [{"displayName": "Value", "desc": True}]},
    "nodegraph": {"nodes": {}, "edges": {"mainStatUnit": "mps"}},
}
_TABLES: dict[str, list[Json]] = {
    "table": [{"id": "organize", "options": {"excludeByName": {"Time": True}, "indexByName": {}, "renameByName": {}}}],
    "nodegraph": [
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True, "actor": True, "destination": True},
                "indexByName": {},
                "renameByName": {"Value": "mainstat"},
            },
        }
    ],
}
