"""Write Grafana dashboards, alert rules and the live page's panels; `--check` fails when one is out of step.

They stand in two places: under `charts/`, because a chart can ship only what lies in its folder, and in the package,
because `asya up --metrics` serves them wherever it is installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from generated import checking, settle
from monitoring.actor import ACTOR
from monitoring.alerts import ALERTS
from monitoring.flow import FLOW
from monitoring.grafana import dashboard_json
from monitoring.mesh import MESH
from monitoring.rules import live_json, rules_yaml
from monitoring.service_map import SERVICE_MAP

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "asya" / "files"
PACKAGE = ROOT / "python" / "src" / "asya" / "local" / "metrics" / "generated"
DASHBOARDS = (MESH, ACTOR, FLOW, SERVICE_MAP)


def generated() -> dict[Path, str]:
    """Return path and text of every generated file."""
    common = {f"dashboards/{dashboard.uid}.json": dashboard_json(dashboard) for dashboard in DASHBOARDS}
    common["alerts.yaml"] = rules_yaml(ALERTS)
    found = {folder / name: text for folder in (CHART, PACKAGE) for name, text in common.items()}
    return found | {PACKAGE / "panels.json": live_json(DASHBOARDS)}


def main() -> int:
    """Write or check."""
    wanted = generated()
    present = {path for folder in (CHART, PACKAGE) for path in folder.rglob("*") if path.is_file()}
    check = checking("Write dashboards, alert rules and the live page's panels.")
    return settle(wanted, check=check, again="docs", stale=present - wanted.keys())


if __name__ == "__main__":
    sys.exit(main())
