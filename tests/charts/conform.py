"""kubeconform over objects, strict, with schemas from pinned sources only."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path

import yaml
from charts_kubeschemas import LOCATION, Name, names_of
from tests.charts.binaries import needed
from tests.charts.scenarios import Manifest
from tests.charts.sources import schemas


def refused(manifests: Iterable[Manifest], folder: Path, *, without: AbstractSet[Name]) -> list[str]:
    """Return what kubeconform says about objects that have a schema; only the kinds `without` may have none."""
    objects = list(manifests)
    missing = schemas().write(set(names_of(objects)), folder)
    assert missing <= without, "kinds without a schema"
    asked = [item for item, name in zip(objects, names_of(objects), strict=True) if name not in missing]
    answer = subprocess.run(
        [needed("kubeconform"), "-strict", "-summary", "-output", "json", "-schema-location", f"{folder}/{LOCATION}"],
        input=yaml.safe_dump_all(asked),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    report = json.loads(answer.stdout)
    assert report["summary"]["skipped"] == 0
    assert sum(report["summary"].values()) == len(asked)
    return [f"{item['kind']} {item['name']}: {item['msg']}" for item in report["resources"]]
