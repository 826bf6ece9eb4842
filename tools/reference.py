"""Write the generated pages and schemas of `docs/reference`; `--check` fails when one is out of step with the code.

`envelope.md` is written by hand and only checked: it must name every field, header, phase and reason, and its examples
must be envelopes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from generated import settle
from reference_actor import actor_page
from reference_envelope import envelope_page_problems, envelope_schema
from reference_metrics import metrics_page
from reference_settings import errors_page, settings_page

from asya.api.schema import document_schema

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail when something differs")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the pages are (default: docs/reference)")
    options = parser.parse_args()
    wanted = {options.folder / name: text for name, text in generated().items()}
    state = settle(wanted, check=options.check, again="docs")
    problems = envelope_page_problems(options.folder / "envelope.md")
    for problem in problems:
        print(problem)
    return 1 if problems else state


def generated() -> dict[str, str]:
    """Return name and text of every generated file."""
    return {
        "asyncactor.md": actor_page(),
        "asyncactor.schema.json": _json(document_schema()),
        "settings.md": settings_page(),
        "errors.md": errors_page(),
        "metrics.md": metrics_page(),
        "envelope.schema.json": _json(envelope_schema()),
    }


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
