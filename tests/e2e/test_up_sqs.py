"""`asya up --transport sqs`: real processes, and queues at moto's server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.moto_server import ENVIRONMENT, MotoServer
from tests.support.up import actor, environment, up

WORDS = """
def handle(payload):
    return {"words": payload["text"].split()}
"""
COUNT = """
def handle(payload):
    return {"count": len(payload["words"])}
"""
NAMESPACE = "words"


def variables(server: MotoServer) -> dict[str, str]:
    return {
        "ASYA_AWS_REGION": server.region,
        "ASYA_SQS_ACCOUNT_ID": server.account,
        "ASYA_SQS_ENDPOINT": server.url,
        **ENVIRONMENT,
    }


def test_a_mesh_runs_on_sqs_and_leaves_its_queues_empty(moto_server: MotoServer, tmp_path: Path) -> None:
    folder = tmp_path / "actors"
    actor(folder, "split", WORDS)
    actor(folder, "count", COUNT)
    state = tmp_path / "state"
    with up(folder, state, "--transport", "sqs", "--namespace", NAMESPACE, **variables(moto_server)) as running:
        sent = [running.send("split", {"text": "a " * number}, route=["count"]) for number in range(5)]
        ended = [running.ended(task, 60.0) for task in sent]
        assert [task["status"] for task in ended] == ["succeeded"] * 5
    client = moto_server.client("sqs")
    urls = client.list_queues(QueueNamePrefix=f"asya_{NAMESPACE}_")["QueueUrls"]
    names = sorted(url.rpartition("/")[2].removeprefix(f"asya_{NAMESPACE}_") for url in urls)
    actors = ("count", "split", "x-sink", "x-sump")
    assert names == sorted([*actors, *(f"{name}_dlq" for name in actors)])
    kinds = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    left = {
        url.rpartition("/")[2]: client.get_queue_attributes(QueueUrl=url, AttributeNames=kinds)["Attributes"]
        for url in urls
    }
    assert all(set(found.values()) == {"0"} for found in left.values()), left


def test_a_longer_call_than_sqs_can_wait_for_is_refused_at_the_start() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "asya_sidecar"],
        env=environment(
            ASYA_TRANSPORT="sqs",
            ASYA_AWS_REGION="eu-west-1",
            ASYA_ACTOR_NAME="a",
            ASYA_NAMESPACE="n",
            ASYA_RESILIENCY_ACTOR_TIMEOUT="12h",
        ),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert "ASYA_RESILIENCY_ACTOR_TIMEOUT is 43200 s; sqs lets a message be held for at most 43140 s" in done.stderr
