"""Write the CompositeResourceDefinitions in `xrds/` from the models; `--check` fails when one is out of step."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from asya.api.xrd import definition, legacy_definition

FOLDER = Path(__file__).resolve().parent.parent / "xrds"
_HEAD = "# Written from the models of asya.api by `make generate`; not to be edited.\n"


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002  as the base class has it
        """Write everything out: an anchor in a schema helps nobody who reads it."""
        return True


def generated() -> dict[str, str]:
    """Return name and text of every file."""
    return {
        "asyncactors.yaml": _yaml(definition()),
        "asyncactors-legacy.yaml": _yaml(legacy_definition()),
    }


def _yaml(value: Mapping[str, Any]) -> str:
    return _HEAD + yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail when something differs")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the files are (default: xrds)")
    options = parser.parse_args()
    problems = []
    for name, text in generated().items():
        path = options.folder / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        if options.check:
            problems.append(f"{path} is out of step with the models; run `make generate`")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    print("\n".join(problems) or f"{len(generated())} definitions in order")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
