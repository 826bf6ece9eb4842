"""Write Grafana dashboards, alert rules and the live page's panels; `--check` fails when one is out of step.

They stand in two places: under `charts/`, because a chart can ship only what lies in its folder, and in the package,
because `asya up --metrics` serves them wherever it is installed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

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
    parser = argparse.ArgumentParser(description="Write dashboards, alert rules and the live page's panels.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a file is out of step")
    options = parser.parse_args()
    wanted = generated()
    present = {path for folder in (CHART, PACKAGE) for path in folder.rglob("*") if path.is_file()}
    wrong = [path for path, text in wanted.items() if path not in present or path.read_text() != text]
    stale = sorted(present - wanted.keys())
    if options.check:
        for path in (*wrong, *stale):
            print(f"{path.relative_to(ROOT)} is out of step with tools/monitoring; run `make docs`")
        if not wrong and not stale:
            print(f"{len(wanted)} files for monitoring in order")
        return 1 if wrong or stale else 0
    for path in stale:
        path.unlink()
    for path in wrong:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path])
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
