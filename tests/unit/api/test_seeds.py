"""Manifests and functions that the described system's pages print: they validate, and their bodies run unchanged."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from asya.api import load_manifests

SEEDS = Path(__file__).parents[2] / "fixtures" / "seeds"

# Of the printed lines, stripped: the print has lost its indentation.
PRINTED = {
    "embedder/handler.py": "8de2afd5e16efcc931924ee1d7ca43ff8db99c8f6d4de3ddbc4eb04acf99825e",
    "reranker/handler.py": "1af56911adb8ad5e02852e43026d35ef4c7d9bab0dfeecba917f9e4ae2b3eea2",
    "embedder/asyncactor.yaml": "053d1762e22eace94840a8f1fb528d5dfa5da36b3c653ecbdb9211df8b748a15",
    "preprocess/handler.py": "269c5e84d2f8ae9cf7d8d0159d132897396caf772a271c98afe6197c6c14c505",
    "inference/handler.py": "47551fa3b90d45b33ae31275adc1a4625d0142b533edd1412ba3d4c38e2dc365",
    "evaluate/handler.py": "73383e7b72c7aa6328486df9b2e57861cc11cff914cc25843330df10462d6d86",
    "inference/asyncactor.yaml": "31bcb52b7f7ef2d891086f657efebfe5fe80e12caad1a683009f2fa04c908f72",
}

# Calls the handlers as a runtime does: the actor's folder first on the path, the module by name.
CALL = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
function = getattr(importlib.import_module("handler"), sys.argv[2])
results = [function(payload) for payload in json.load(sys.stdin)]
import torch
print(json.dumps({"results": results, "loaded": torch.LOADED}))
"""


def call(actor: str, function: str, payloads: list[dict[str, Any]], store: Path) -> dict[str, Any]:
    """Call a printed function in a process of its own, the prelude on its path."""
    environment = {**os.environ, "PYTHONPATH": str(SEEDS / "prelude"), "SEEDS_STORE": str(store)}
    done = subprocess.run(
        [sys.executable, "-c", CALL, str(SEEDS / actor), function],
        input=json.dumps(payloads),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("file", PRINTED)
def test_printed_lines_are_kept_as_they_are(file: str) -> None:
    lines = [line.strip() for line in (SEEDS / file).read_text(encoding="utf-8").splitlines()]
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == PRINTED[file]


def test_printed_manifests_load_with_the_meaning_they_have() -> None:
    actors = {actor.name: actor for actor in load_manifests([SEEDS])}
    assert actors.keys() == {"embedder", "reranker", "preprocess", "inference", "evaluate"}

    inference = actors["inference"]
    assert inference.spec.handler == "handler.inference"
    assert inference.spec.resources.limits == {"nvidia.com/gpu": "1"}
    assert (inference.spec.scaling.min_replica_count, inference.spec.scaling.max_replica_count) == (0, 10)
    assert inference.spec.scaling.queue_length == 1
    assert inference.resiliency().actor_timeout == 600.0
    policy = inference.resiliency().policies["default"]
    assert (policy.max_attempts, policy.backoff, policy.initial_delay, policy.max_interval) == (
        3,
        "exponential",
        2.0,
        120.0,
    )

    # Nothing but attempts and backoff is printed here: first delay 1 s, cap 5 min, jitter on.
    policy = actors["embedder"].resiliency().policies["default"]
    assert (policy.max_attempts, policy.initial_delay, policy.max_interval, policy.jitter) == (3, 1.0, 300.0, True)


def test_embedder_and_reranker_run_with_printed_bodies(tmp_path: Path) -> None:
    embedded = call("embedder", "embed", [{"text": "blue red blue"}, {"text": ""}], tmp_path)["results"]
    assert embedded[0]["text"] == "blue red blue"
    assert sum(value * value for value in embedded[0]["embedding"]) == pytest.approx(1.0)
    assert embedded[1]["embedding"] == [0.0] * 8
    ranked = call("reranker", "rerank", embedded, tmp_path)["results"][0]
    first, second = ranked["ranked"][:2]
    assert ranked["embedding"][first] == pytest.approx(2 * ranked["embedding"][second])


def test_preprocess_inference_evaluate_run_with_printed_bodies_and_load_the_model_once(tmp_path: Path) -> None:
    raw = tmp_path / "raw.csv"
    raw.write_text("score,expected\n0.9,positive\n,positive\n0.2,negative\n0.7,negative\n", encoding="utf-8")
    payload = {"raw_data_path": str(raw), "run_id": "r1"}
    processed = call("preprocess", "preprocess", [payload], tmp_path)["results"]
    assert processed == [{**payload, "processed_path": "s3://data/r1/processed.parquet"}]
    answer = call("inference", "inference", processed * 2, tmp_path)
    assert answer["loaded"] == ["/models/classifier.pt"]
    assert [prediction["label"] for prediction in answer["results"][1]["predictions"]] == [
        "positive",
        "negative",
        "positive",
    ]
    evaluated = call("evaluate", "evaluate", answer["results"][:1], tmp_path)["results"][0]
    assert evaluated["accuracy"] == pytest.approx(2 / 3)
