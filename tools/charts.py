"""Write what is generated in `charts/`: README, values schema, and copies of other rooms; `--check` fails on drift."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml
from charts_readme import readme
from charts_schema import schema_json
from charts_sync import synchronised
from charts_values import ChartError, read_values

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
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a file is out of step")
    options = parser.parse_args()
    try:
        wanted = generated()
    except ChartError as error:
        print(error, file=sys.stderr)
        return 1
    wrong = [path for path, text in wanted.items() if not path.is_file() or path.read_text() != text]
    if options.check:
        for path in wrong:
            print(f"{path.relative_to(ROOT)} is out of step; run `make docs`")
        if not wrong:
            print(f"{len(wanted)} generated files of charts in order")
        return 1 if wrong else 0
    for path in wrong:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path])
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
