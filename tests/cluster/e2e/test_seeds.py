"""The printed manifests, applied as they stand, with images of the printed functions."""

from __future__ import annotations

import random
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.e2e.report import Report
from tests.cluster.e2e.stage import Stage
from tests.cluster.e2e.target import Target
from tests.cluster.plan import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.core, pytest.mark.timeout(600), pytest.mark.xdist_group("e2e")]
SEEDS = ROOT / "tests" / "fixtures" / "seeds"
PRELUDE = Path(__file__).parent / "prelude"
ACTORS = ("embedder", "reranker", "preprocess", "inference", "evaluate")
GPUS = "16"
ROWS = "score,expected\n0.9,positive\n0.1,negative\n0.8,negative\n,positive\n"
"""One of the three whole rows is not what the classifier says."""


@pytest.fixture(scope="module")
def seeds(target: Target, report: Report, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """A namespace with all of them, Ready."""
    stage = Stage(target, "seeds")
    offer = {"nvidia.com/gpu": GPUS}
    status = yaml.safe_dump({"status": {"capacity": offer, "allocatable": offer}})
    target.kubectl("patch", "node", target.node, "--subresource=status", "--type=merge", f"--patch={status}")
    rows = tmp_path_factory.mktemp("seeds") / "rows.csv"
    rows.write_text(ROWS)
    manifests = [SEEDS / actor / "asyncactor.yaml" for actor in ACTORS]
    for manifest in manifests:
        push_printed(target, manifest, rows)
    random.Random(0).shuffle(manifests)
    files = [f"--filename={manifest}" for manifest in manifests]
    target.kubectl("apply", "--namespace=seeds", *files)
    stage.ready(*ACTORS, "x-sink", "x-sump")
    report.ready_s = {each["metadata"]["name"]: seconds_to_ready(each) for each in stage.get("asyncactors")["items"]}
    return stage


def push_printed(target: Target, manifest: Path, rows: Path) -> None:
    """Make the image that a manifest names, of the function beside it."""
    printed = sorted((SEEDS / "prelude").glob("*.py"))
    files = {f"prelude/{path.name}": path for path in printed}
    files["prelude/folder_pandas.py"] = files.pop("prelude/fake_pandas.py")
    files |= {"prelude/fake_pandas.py": PRELUDE / "fake_pandas.py", "handler.py": manifest.with_name("handler.py")}
    environment = {"PYTHONPATH": "/app:/app/prelude", "SEEDS_STORE": target.s3_url}
    target.push(yaml.safe_load(manifest.read_text())["spec"]["image"], {**files, "rows.csv": rows}, environment)


def seconds_to_ready(actor: Any) -> float:
    """From its creation, by the API server's clock, which tells whole seconds."""
    (ready,) = (each for each in actor["status"]["conditions"] if each["type"] == "Ready")
    times = (ready["lastTransitionTime"], actor["metadata"]["creationTimestamp"])
    became, made = (datetime.fromisoformat(each) for each in times)
    return (became - made).total_seconds()


def test_all_become_ready_from_one_apply_in_any_order(seeds: Stage, report: Report) -> None:
    assert set(report.ready_s) == {*ACTORS, "x-sink", "x-sump"}
    deployed = seeds.get("deployments")["items"]
    assert {each["metadata"]["labels"]["asya.sh/actor"] for each in deployed} == set(report.ready_s)


def test_text_is_embedded_and_ranked(seeds: Stage) -> None:
    (sent,) = seeds.mail.send(["embedder", "reranker"], [{"text": "a red bicycle in the rain"}])
    seeds.mail.wait([sent], 240)
    result = seeds.mail.result(sent)
    embedding = result["payload"]["embedding"]
    assert sum(value * value for value in embedding) == pytest.approx(1.0)
    assert [embedding[place] for place in result["payload"]["ranked"]] == sorted(embedding, reverse=True)
    assert result["route"]["prev"][:2] == ["embedder", "reranker"]


def test_a_table_goes_through_preprocessing_inference_and_evaluation(seeds: Stage) -> None:
    payload = {"raw_data_path": "/app/rows.csv", "run_id": "run-1"}
    (sent,) = seeds.mail.send(["preprocess", "inference", "evaluate"], [payload])
    seeds.mail.wait([sent], 240)
    result = seeds.mail.result(sent)["payload"]
    assert [row["label"] for row in result["predictions"]] == ["positive", "negative", "positive"]
    assert result["accuracy"] == pytest.approx(2 / 3)


def test_a_pod_has_the_gpu_that_its_manifest_asks_for(seeds: Stage) -> None:
    template = seeds.get("deployment/embedder-rabbitmq")["spec"]["template"]["spec"]
    (runtime,) = (each for each in template["containers"] if "nvidia.com/gpu" in each["resources"].get("limits", {}))
    assert runtime["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert runtime["image"] == "embedder:latest"
