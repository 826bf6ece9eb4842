"""Write what is generated in `charts/`: README, values schema, and copies of other rooms; `--check` fails on drift."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml
from charts_readme import readme
from charts_schema import schema_json
from charts_sync import synchronised
from charts_values import ChartError, read_values
from generated import checking, settle

ROOT = Path(__file__).resolve().parent.parent
CHARTS = ROOT / "charts"


def charts() -> list[Path]:
    """Return the folders of all charts."""
    return sorted(path.parent for path in CHARTS.glob("*/Chart.yaml"))


def generated() -> dict[Path, str]:
    """Return path and text of every generated file.

    Raises:
        ChartError: A value is not documented as it must be.
    """
    found = synchronised()
    for chart in charts():
        values = read_values(chart / "values.yaml")
        name: str = yaml.safe_load((chart / "Chart.yaml").read_text())["name"]
        found[chart / "values.schema.json"] = schema_json(name, values)
        found[chart / "README.md"] = readme(chart, values)
    return found


def main() -> int:
    """Write or check."""
    check = checking((__doc__ or "").splitlines()[0])
    try:
        return settle(generated(), check=check, again="docs")
    except ChartError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
