"""`asya up` on a real RabbitMQ: the same manifests, queues at the broker."""

import json
from pathlib import Path

import pytest
from tests.support.up import actor, run, up

pytestmark = pytest.mark.rabbitmq


def test_messages_go_through_a_broker_and_an_idle_run_ends(tmp_path: Path, rabbitmq_url: str) -> None:
    quick = {"pollingInterval": 1, "cooldownPeriod": 2, "queueLength": 5, "maxReplicaCount": 2}
    flaky = (
        "tried = set()\n"
        "def handle(payload):\n"
        "    if payload % 10 == 0 and payload not in tried:\n"
        "        tried.add(payload)\n        raise OSError('once')\n"
        "    return payload * 2\n"
    )
    policy = {"policies": {"default": {"maxAttempts": 5, "initialInterval": "200ms", "backoff": "constant"}}}
    actor(tmp_path / "mesh", "double", flaky, scaling=quick, resiliency=policy)
    actor(tmp_path / "mesh", "text", "def handle(payload):\n    return str(payload)\n", scaling=quick)
    arguments = ("--transport", "rabbitmq", "--rabbitmq-url", rabbitmq_url, "--exit-when-idle")
    lines = tmp_path / "payloads.jsonl"
    lines.write_text("".join(f"{number}\n" for number in range(50)))
    with up(tmp_path / "mesh", tmp_path / "state", *arguments) as mesh:
        sent = run(
            *("send", "double", "--many", str(lines), "--route", "text", "--wait", "-o", "json"),
            *("--state", str(mesh.state)),
            seconds=90,
        )
        assert sent.returncode == 0, sent.stderr + mesh.said()
        assert [json.loads(line)["result"] for line in sent.stdout.splitlines()] == [str(2 * n) for n in range(50)]
        assert mesh.process.wait(30) == 0, mesh.said()
        assert "50 succeeded, 0 failed" in mesh.said()
    assert not (tmp_path / "state" / "queue.db").exists()


@pytest.mark.slow
def test_a_broker_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    actor(tmp_path / "mesh", "a", "def handle(payload):\n    return payload\n")
    url = "amqp://guest:secret@127.0.0.1:1/"
    arguments = ("--transport", "rabbitmq", "--rabbitmq-url", url, "--state", str(tmp_path / "state"))
    ended = run("up", str(tmp_path / "mesh"), *arguments)
    assert ended.returncode == 1
    assert "rabbitmq cannot be reached" in ended.stderr
    assert "secret" not in ended.stdout + ended.stderr
