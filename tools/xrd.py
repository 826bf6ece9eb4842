"""Write the CompositeResourceDefinitions in `xrds/` from the models; `--check` fails when one is out of step."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from generated import checking, settle

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
    wanted = {FOLDER / name: text for name, text in generated().items()}
    return settle(wanted, check=checking((__doc__ or "").splitlines()[0]), again="generate")


if __name__ == "__main__":
    sys.exit(main())
