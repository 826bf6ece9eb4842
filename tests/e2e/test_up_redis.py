"""`asya up --transport redis`: real processes, and queues at a real Redis."""

from __future__ import annotations

from pathlib import Path

from tests.support.redis import Server
from tests.support.up import actor, up

WORDS = """
tries = []

def handle(payload):
    tries.append(payload)
    if payload["text"] == "again" and len(tries) == 1:
        raise ValueError("once")
    return {"words": payload["text"].split()}
"""
COUNT = """
def handle(payload):
    return {"count": len(payload["words"])}
"""
RETRY = {"policies": {"default": {"maxAttempts": 3, "initialDelay": "500ms"}}}


def test_a_mesh_runs_on_redis_and_leaves_its_queues_empty(redis_installed: None, tmp_path: Path) -> None:
    folder = tmp_path / "actors"
    actor(folder, "split", WORDS, resiliency=RETRY)
    actor(folder, "count", COUNT)
    with Server() as server:
        given = ("--transport", "redis", "--namespace", "words")
        with up(folder, tmp_path / "state", *given, ASYA_REDIS_URL=server.url) as running:
            texts = ["again", *("a " * number for number in range(5))]
            sent = [running.send("split", {"text": text}, route=["count"]) for text in texts]
            ended = [running.ended(task, 60.0) for task in sent]
        assert [task["status"] for task in ended] == ["succeeded"] * 6
        client = server.client()
        actors = ("count", "split", "x-sink", "x-sump")
        queues = {f"asya_words_{name}" for name in actors}
        assert set(client.keys()) == queues | {f"{queue}.settings" for queue in queues}  # what is empty has no key
        assert [client.xlen(queue) for queue in sorted(queues)] == [0] * 4
