"""`asya send` and `asya ps` straight from a shell: a kubeconfig, and nothing that was set up before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.e2e.stage import Stage
from tests.cluster.e2e.target import Target
from tests.cluster.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.xdist_group("e2e")]
ACTOR, BROKEN = "typist", "printer"
PLATFORM, BROKER, AMQP = "asya-system", "rabbitmq", 5672
RELAY = "rabbitmq-relay"
# What `socat` would do, with what the nodes have an image of.
RELAYING = f"""
import asyncio

async def copy(reader, writer):
    while chunk := await reader.read(65536):
        writer.write(chunk)
        await writer.drain()
    writer.close()

async def relay(reader, writer):
    far_reader, far_writer = await asyncio.open_connection("{{host}}", {AMQP})
    print("for", writer.get_extra_info("peername")[0], flush=True)
    await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer), return_exceptions=True)

async def main():
    server = await asyncio.start_server(relay, port={AMQP})
    await server.serve_forever()

asyncio.run(main())
"""
Manifest = dict[str, Any]


class Shell:
    """A shell on a machine that reaches the API server, in a folder of its own."""

    def __init__(self, target: Target, folder: Path) -> None:
        self.target, self.folder = target, folder

    def asya(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the command."""
        return subprocess.run(
            self.target.command([sys.executable, "-m", "asya.cli.main", *words]),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "KUBECONFIG": str(self.target.kubeconfig)},
        )


@pytest.fixture
def shell(target: Target, tmp_path: Path) -> Shell:
    return Shell(target, tmp_path)


@pytest.fixture(scope="module")
def typist(stage: Stage) -> Iterator[Stage]:
    """A namespace of the shell's own, with an actor that works and one whose image is nowhere."""
    own = Stage(stage.target, "shell")
    scaling = {"minReplicaCount": 0, "maxReplicaCount": 1, "pollingInterval": 1}
    broken = {"image": "e2e/nowhere:1", "scaling": {"minReplicaCount": 1, "maxReplicaCount": 1}}
    own.kubectl.apply(own.actor(ACTOR, scaling=scaling), own.actor(BROKEN, **broken))
    own.ready(ACTOR, "x-sink", "x-sump")
    yield own
    own.remove(ACTOR, BROKEN)


def test_a_message_is_sent_and_its_result_kept(shell: Shell, typist: Stage) -> None:
    sent = shell.asya("send", ACTOR, '{"ms": 1, "said": "ü"}', "--namespace", typist.namespace)
    assert sent.returncode == 0, sent.stderr
    message = sent.stdout.strip()
    typist.mail.wait([message], 180)
    payload = typist.mail.result(message)["payload"]
    assert (payload["said"], payload["calls"][0]["handler"]) == ("ü", "work")


def test_many_are_sent_and_all_results_kept(shell: Shell, typist: Stage) -> None:
    lines = "".join(f'{{"ms": 1, "n": {n}}}\n' for n in range(300))
    sent = shell.asya("send", ACTOR, "--many", "-", "-n", typist.namespace, "-o", "json", stdin=lines)
    assert sent.returncode == 0, sent.stderr
    ids = [json.loads(line)["id"] for line in sent.stdout.splitlines()]
    assert len(set(ids)) == 300
    typist.mail.wait(ids, 240)
    assert [typist.mail.result(ids[n])["payload"]["n"] for n in (0, 299)] == [0, 299]


def test_what_is_wrong_is_listed_and_does_not_hinder(shell: Shell, typist: Stage) -> None:
    listed: list[Any] = []

    def told() -> bool:
        asked = shell.asya("ps", "-n", typist.namespace, "-o", "json")
        assert asked.returncode == 0, asked.stderr
        listed[:] = json.loads(asked.stdout)["actors"]
        return any("e2e/nowhere:1" in sentence for each in listed for sentence in each["wrong"])

    wait_until("the image that is missing is told", told, 120, lambda: str(listed))
    assert {each["name"] for each in listed} == {ACTOR, BROKEN, "x-sink", "x-sump"}
    sent = shell.asya("send", BROKEN, "1", "-n", typist.namespace)
    assert (sent.returncode, f"{BROKEN} is not ready, its messages wait" in sent.stderr) == (0, True), sent.stderr
    wait_until("it waits in the queue", lambda: typist.mail.depths().get(BROKEN) == 1, 60)
    typist.mail.purge(BROKEN)


def test_a_wrong_name_is_told(shell: Shell, typist: Stage) -> None:
    sent = shell.asya("send", "typits", "1", "-n", typist.namespace)
    assert (sent.returncode, f"did you mean '{ACTOR}'?" in sent.stderr) == (1, True), sent.stderr


def test_a_broker_in_pods_is_reached_through_the_api_server(shell: Shell, typist: Stage) -> None:
    with in_pods(typist):
        # In this network the broker could be reached at its address too. A forwarded port comes from the pod itself,
        # a probe or a sidecar from elsewhere.
        sent = shell.asya("send", ACTOR, '{"ms": 1, "through": "a pod"}', "-n", typist.namespace)
        said = typist.kubectl("logs", f"--namespace={PLATFORM}", f"--selector=app={RELAY}")
    assert (sent.returncode, {"for 127.0.0.1", "for ::1"} & set(said.splitlines()) != set()) == (0, True), sent.stderr
    message = sent.stdout.strip()
    typist.mail.wait([message], 180)
    assert typist.mail.result(message)["payload"]["through"] == "a pod"


@contextmanager
def in_pods(stage: Stage) -> Iterator[None]:
    """Where the broker's Service has written addresses, put a pod behind it that passes everything on to them."""
    kubectl, where = stage.kubectl, f"--namespace={PLATFORM}"
    service = kubectl.get("service", BROKER, where)
    if service["spec"].get("selector"):
        pytest.skip("the broker is in pods here: each message that was sent took this way")
    slices = f"kubernetes.io/service-name={BROKER}"
    (written,) = kubectl.get("endpointslices", where, f"--selector={slices}")["items"]
    made = relay(written["endpoints"][0]["addresses"][0])
    try:
        kubectl.apply(made)
        kubectl.wait(f"pod/{RELAY}", "condition=Ready", namespace=PLATFORM)
        select(stage, {"app": RELAY})
        yield
    finally:
        kubectl("delete", "pod", RELAY, where, "--ignore-not-found", "--grace-period=0", "--force")
        # What has been made for the selector outlives it: first it must lead nowhere any more.
        managed = f"--selector={slices},endpointslice.kubernetes.io/managed-by"
        wait_until("no way to the pod", lambda: not addresses(kubectl.get("endpointslices", where, managed)), 60)
        select(stage, None)
        kubectl("delete", "endpoints", BROKER, where, "--ignore-not-found")
        kubectl("delete", "endpointslices", where, managed)


def addresses(slices: Any) -> list[str]:
    """The addresses in EndpointSlices."""
    return [
        address for each in slices["items"] for point in each.get("endpoints") or () for address in point["addresses"]
    ]


def select(stage: Stage, selector: dict[str, str] | None) -> None:
    """Set or take away the selector of the broker's Service."""
    patch = json.dumps({"spec": {"selector": selector}})
    stage.kubectl("patch", f"service/{BROKER}", f"--namespace={PLATFORM}", "--type=merge", f"--patch={patch}")


def relay(host: str) -> Manifest:
    """A pod that listens as the broker does."""
    container = {
        "name": "relay",
        "image": "python:3.13-slim",
        "command": ["python3", "-c", RELAYING.format(host=host)],
        "ports": [{"name": "amqp", "containerPort": AMQP}],
        "readinessProbe": {"tcpSocket": {"port": AMQP}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "10m"}},
    }
    metadata = {"name": RELAY, "namespace": PLATFORM, "labels": {"app": RELAY}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}
