"""Every example as Crossplane's own engine renders it, against the golden files of the function: `make render-all`.

The command line, the engine and gRPC are the real ones; what they add to an object is left out before comparing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import render
import yaml
from tests.charts.binaries import needed
from tests.compose.calls import ROOT, _at_work
from tests.compose.test_golden import FILES, GOLDEN

Manifest = dict[str, Any]
KEY = "crossplane.io/composition-resource-name"
CROSSPLANES_OWN = ("Ready", "Synced", "Responsive")
ADDED = ("generateName", "ownerReferences")
STEPS = 6


@pytest.fixture(scope="module")
def programs() -> render.Programs:
    return render.Programs(needed("crossplane"), needed("crossplane-core"))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with render.served() as found:
        yield found


def split(rendered: str) -> tuple[Manifest, dict[str, Manifest]]:
    """Return the composite and what is composed, by key."""
    composite, *others = [each for each in yaml.safe_load_all(rendered) if each]
    return composite, {each["metadata"]["annotations"][KEY]: each for each in others}


def as_the_function_said(manifest: Manifest) -> Manifest:
    """Return an object without what Crossplane adds to it."""
    metadata = {
        key: value for key, value in manifest["metadata"].items() if key not in ("generateName", "ownerReferences")
    }
    metadata["labels"] = {
        key: value for key, value in metadata.get("labels", {}).items() if not key.startswith("crossplane.io/")
    }
    metadata["annotations"] = {key: value for key, value in metadata["annotations"].items() if key != KEY}
    return {**manifest, "metadata": {key: value for key, value in metadata.items() if value}}


def golden(example: Path) -> tuple[Manifest, dict[str, Manifest]]:
    about, *resources = yaml.safe_load_all((GOLDEN / example.parent.name / example.name).read_text())
    return about, {each.pop("resource"): each for each in resources}


@pytest.mark.parametrize("example", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_crossplane_renders_the_example_as_the_golden_file_has_it(
    example: Path, programs: render.Programs, address: str, tmp_path: Path
) -> None:
    observed, before = tmp_path / "observed.yaml", None
    options: list[str] = []
    for _ in range(STEPS):
        text = render.render(programs, address, example, example.parent / "composition.yaml", *options)
        composite, composed = split(text)
        if composed == before:
            break
        before = composed
        observed.write_text(yaml.safe_dump_all([_at_work(each) for each in composed.values()]))
        options = [f"--observed-resources={observed}"]
    else:
        raise AssertionError("it renders something else each time")

    about, wanted = golden(example)
    assert {key: as_the_function_said(each) for key, each in composed.items()} == wanted
    told = {each["type"]: each for each in composite["status"].pop("conditions")}
    assert told["Ready"]["status"] == str(not about["notReady"]), told["Ready"]
    ours = {
        kind: [each["status"], each.get("reason", ""), each.get("message", "")]
        for kind, each in told.items()
        if kind not in CROSSPLANES_OWN
    }
    assert ours == about["conditions"]
    assert composite["status"] == about["status"]


def test_what_the_function_refuses_is_told(programs: render.Programs, address: str, tmp_path: Path) -> None:
    wrong = yaml.safe_load((ROOT / "crossplane/examples/rabbitmq/minimal.yaml").read_text())
    wrong["spec"]["scaling"] = {"minReplicaCount": 5, "maxReplicaCount": 2}
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(wrong))
    with pytest.raises(render.RenderError, match="minReplicaCount"):
        render.render(programs, address, path, ROOT / "crossplane/examples/rabbitmq/composition.yaml")


def test_a_function_that_does_not_start_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render.sys, "executable", "/bin/false")
    with pytest.raises(render.RenderError, match="exit status 1"), render.served():
        pass


def test_an_example_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = render.Programs(needed("crossplane"), needed("crossplane-core"))
    monkeypatch.setattr(render, "programs", lambda: found)
    monkeypatch.setattr("sys.argv", ["render.py", str(ROOT / "crossplane/examples/sqs/minimal.yaml"), "-x"])
    assert render.main() == 0
    composite, composed = split(capsys.readouterr().out)
    assert composite["spec"]["image"] == "ghcr.io/example/resize:1.4.0", "-x is passed on"
    assert {each["kind"] for each in composed.values()} >= {"Queue", "Role"}
