"""Who may do what: tried, not read from manifests."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import pytest
from tests.cluster.e2e.mail import Mail
from tests.cluster.e2e.stage import RUNTIME, SIDECAR, Stage
from tests.cluster.plan import ClusterError

from asya.errors import TransportError
from asya.settings import load
from asya.transports import open_transport
from asya.transports.settings import TransportSettings

pytestmark = [pytest.mark.e2e, pytest.mark.core, pytest.mark.timeout(600), pytest.mark.xdist_group("e2e")]
MINE, NEIGHBOUR = "mine", "neighbour"
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
_SHORTEST_SECRET = 10
"""Shorter values, such as the name of a region or a user, are found everywhere."""
_READ_SECONDS = 10


@pytest.fixture(scope="module")
def actors(stage: Stage) -> Iterator[Stage]:
    """Two actors with a pod each."""
    scaling = {"minReplicaCount": 1, "maxReplicaCount": 1}
    stage.kubectl.apply(*(stage.actor(name, scaling=scaling) for name in (MINE, NEIGHBOUR)))
    stage.ready(MINE, NEIGHBOUR, "x-sink")
    stage.mail.wait(stage.mail.send([MINE, NEIGHBOUR], [{"ms": 1}]), 180)
    yield stage
    stage.remove(MINE, NEIGHBOUR)


def login(stage: Stage, actor: str) -> dict[str, str]:
    """The user and password that an actor's sidecar has."""
    data = stage.get(f"secret/{actor}-rabbitmq-user-user-credentials")["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def as_user(stage: Stage, mail: Mail, user: str, queue: str) -> None:
    """Begin to read an actor's queue with another one's login.

    Raises:
        TransportError: The broker refuses it.
    """
    own = login(stage, user)
    address = stage.target.amqp_url.rpartition("@")[2]
    environ = mail.environ(ASYA_RABBITMQ_URL=f"amqp://{own['username']}:{own['password']}@{address}")

    async def read() -> None:
        transport = open_transport(load(TransportSettings, environ))
        await transport.open()
        try:
            async with asyncio.timeout(_READ_SECONDS):
                consumer = await transport.consume(queue, 1, lambda _: None)
                await consumer.close()
        finally:
            await transport.close()

    with stage.target.network():
        asyncio.run(read())


def test_a_pod_with_more_rights_is_refused_in_this_namespace(actors: Stage) -> None:
    """So that the actors' pods here show that they need none."""
    rights = {"name": "main", "image": "e2e/worker:1", "securityContext": {"privileged": True}}
    metadata = {"name": "privileged", "namespace": actors.namespace}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [rights]}}
    with pytest.raises(ClusterError, match='violates PodSecurity "restricted'):
        actors.kubectl.apply(pod)
    assert actors.running(MINE)


def test_a_user_reads_its_own_queue(actors: Stage, mail: Mail) -> None:
    as_user(actors, mail, MINE, MINE)


def test_a_user_cannot_read_its_neighbours_queue(actors: Stage, mail: Mail) -> None:
    with pytest.raises(TransportError, match=r"(?i)access.refused|refused"):
        as_user(actors, mail, MINE, NEIGHBOUR)


def test_no_token_is_mounted_in_an_actors_pod(actors: Stage) -> None:
    (pod,) = actors.running(MINE)
    assert [each["name"] for each in pod["spec"]["volumes"] if "projected" in each] == []
    found = f"import os; print(os.path.exists('/opt'), os.path.exists('{TOKEN}'))"
    name, where = pod["metadata"]["name"], f"--namespace={actors.namespace}"
    for container in (RUNTIME, SIDECAR):
        said = actors.kubectl("exec", name, where, f"--container={container}", "--", "python3", "-c", found)
        assert said.split() == ["True", "False"]


def test_the_login_is_not_in_the_users_container(actors: Stage) -> None:
    (pod,) = actors.running(MINE)
    words = ("exec", pod["metadata"]["name"], f"--namespace={actors.namespace}")
    said = actors.kubectl(*words, f"--container={RUNTIME}", "--", "cat", "/proc/self/environ")
    assert "ASYA_HANDLER" in said
    assert login(actors, MINE)["password"] not in said
    assert "RABBITMQ" not in said


def secret_values(stage: Stage) -> dict[str, str]:
    """Every value of every Secret that is long enough to be one; what is public is left out, and Helm's releases."""
    found: dict[str, str] = {}
    for secret in stage.kubectl.get("secrets", "--all-namespaces")["items"]:
        if secret["type"].startswith("helm.sh/"):
            continue
        for key, value in (secret.get("data") or {}).items():
            text = base64.b64decode(value).decode(errors="replace").strip()
            if len(text) >= _SHORTEST_SECRET and _is_secret(key, text):
                found[f"{secret['metadata']['namespace']}/{secret['metadata']['name']}:{key}"] = text
    return found


def _is_secret(key: str, text: str) -> bool:
    public = ("CERTIFICATE" in text and "PRIVATE" not in text) or text.startswith("http")
    return not public and key not in {"username", "AWS_ACCESS_KEY_ID"}


def test_no_secret_is_in_a_log_or_an_event(actors: Stage) -> None:
    values = secret_values(actors)
    assert f"{actors.namespace}/{MINE}-rabbitmq-user-user-credentials:password" in values
    texts: dict[str, Any] = {
        **{name: text for name, text in actors.target.logs().items() if name.startswith("pods/")},
        "events": actors.kubectl("get", "events", "--all-namespaces", "--output=yaml"),
        "actors": actors.kubectl("get", "asyncactors,pods,deployments", "--all-namespaces", "--output=yaml"),
    }
    assert any(MINE in name for name in texts), "the pods' logs are among them"
    shown = [(where, name) for name, value in values.items() for where, text in texts.items() if value in text]
    assert shown == []
