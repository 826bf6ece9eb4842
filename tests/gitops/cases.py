"""Objects as a cluster has them, and how healthy they are: one table for Argo CD and Flux."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """An object; Argo CD's word for its health with part of its message, and Flux's where Flux looks at the kind."""

    file: str
    case: str
    object: Manifest
    argocd: str
    flux: str | None
    says: str

    def __str__(self) -> str:
        return f"{self.file}: {self.case}"


def _read(path: Path) -> list[Case]:
    return [
        Case(path.stem, each["case"], each["object"], each["argocd"], each.get("flux"), each.get("says", ""))
        for each in yaml.safe_load(path.read_text())
    ]


CASES = [case for path in sorted((Path(__file__).parent / "health").glob("*.yaml")) for case in _read(path)]
