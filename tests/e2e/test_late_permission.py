"""A pod that starts before its user, its permissions or its credentials are there waits for them, and is not ready."""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tests.support.host import free_port
from tests.support.mesh import environment, rabbitmq, runtime_file
from tests.support.moto_server import ACCOUNT, REGION, MotoServer
from tests.support.processes import Process, until
from tests.support.rabbitmq import call_management

from asya.settings import load
from asya.transports import QueueSpec, open_transport
from asya.transports.settings import TransportSettings

SOON = 40.0
NOTHING, EVERYTHING = "^$", ".*"


@dataclass
class Pod:
    """A sidecar beside a runtime, and what the kubelet is told."""

    sidecar: Process
    client: httpx.AsyncClient

    async def says(self, *words: str) -> None:
        """Wait until it names these words as the reason for not being ready; it stays alive."""
        said: list[str] = []

        async def held() -> bool:
            assert self.sidecar.running, self.sidecar.tail()
            try:
                ready, alive = await self.client.get("/readyz"), await self.client.get("/healthz")
            except httpx.TransportError:
                return False  # it does not listen yet
            assert alive.status_code == 200
            said[:] = ready.json()["problems"]
            return ready.status_code == 503 and all(any(word in problem for problem in said) for word in words)

        await until(held, within=SOON, what=lambda: f"{words} are not in {said}\n{self.sidecar.tail()}")

    async def becomes_ready(self) -> None:
        async def held() -> bool:
            return (await self.client.get("/readyz")).status_code == 200

        await until(held, within=SOON, what=self.sidecar.tail)
        assert self.sidecar.exits == [], "it never ended"

    def logged(self, words: str) -> int:
        """Return how many lines of its log have these words."""
        lines = [json.loads(line) for line in self.sidecar.log.read_text().splitlines()]
        return len([line for line in lines if words in line["msg"]])


@contextlib.asynccontextmanager
async def started(folder: Path, settings: Mapping[str, str]) -> AsyncIterator[Pod]:
    """Start the pod of actor `a`."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="asya-") as sockets:
        shared = {"ASYA_SOCKET_DIR": sockets}
        own = {"ASYA_ACTOR_NAME": "a", "ASYA_HEALTH_ADDR": f"127.0.0.1:{port}"}
        command, log = [sys.executable, "-m", "asya_sidecar"], folder / "sidecar.log"
        sidecar = Process("sidecar", command, environment(settings, own, shared), log, restart=False)
        handler = environment(shared, {"ASYA_HANDLER": "json.dumps"})
        runtime = Process(
            "runtime", [sys.executable, str(runtime_file())], handler, folder / "runtime.log", restart=False
        )
        try:
            await runtime.start()
            await sidecar.start()
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                yield Pod(sidecar, client)
        finally:
            await runtime.stop()
            await sidecar.stop()


async def declare(settings: Mapping[str, str]) -> None:
    """Make the actor's queue, as the platform."""
    transport = open_transport(load(TransportSettings, settings))
    await transport.open()
    await transport.declare([QueueSpec("a")])
    await transport.close()


@pytest.mark.slow
@pytest.mark.rabbitmq
async def test_on_rabbitmq(rabbitmq_url: str, rabbitmq_management_url: str, tmp_path: Path) -> None:
    user, parts = f"late-{secrets.token_hex(4)}", urlsplit(rabbitmq_url)
    await declare(rabbitmq(rabbitmq_url))

    def put(what: str, body: object) -> None:
        call_management(rabbitmq_management_url, "PUT", f"/api/{what}/{user}", body)

    def permit(read: str) -> None:
        rights = {"configure": NOTHING, "write": EVERYTHING, "read": read}
        put(f"permissions{parts.path}", rights)

    url = f"amqp://{user}:s3cr3t@{parts.hostname}:{parts.port}{parts.path}"
    try:
        async with started(tmp_path, rabbitmq(url)) as pod:
            await pod.says("ACCESS_REFUSED")
            put("users", {"password": "s3cr3t", "tags": ""})
            await pod.says("virtual host")
            permit(NOTHING)
            await pod.says("asya_test_a")
            permit(EVERYTHING)
            await pod.becomes_ready()
        assert pod.logged("not let in yet") == 2, "once for each reason"
        assert pod.logged("let in after") == 1
        assert "s3cr3t" not in pod.sidecar.log.read_text()
    finally:
        call_management(rabbitmq_management_url, "DELETE", f"/api/users/{user}")


async def test_on_sqs(moto_server: MotoServer, tmp_path: Path) -> None:
    """IAM takes a while to know of a role, and a pod's token to be there."""
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    user, keys = f"late-{secrets.token_hex(4)}", tmp_path / "credentials"
    admin = {name.lower(): key for name, key in moto_server.user(f"{user}-admin", everything).items()}
    settings = {
        "ASYA_TRANSPORT": "sqs",
        "ASYA_NAMESPACE": user,
        "ASYA_AWS_REGION": REGION,
        "ASYA_SQS_ACCOUNT_ID": ACCOUNT,
        "ASYA_SQS_ENDPOINT": moto_server.url,
        "ASYA_SQS_WAIT": "1s",
    }
    await declare(settings)
    own = {"AWS_SHARED_CREDENTIALS_FILE": str(keys), "AWS_CONFIG_FILE": str(keys), "AWS_EC2_METADATA_DISABLED": "true"}
    moto_server.authorise(on=True)
    try:
        iam = moto_server.client("iam", **admin)
        async with started(tmp_path, {**settings, **own}) as pod:
            await pod.says("no AWS credentials were found")
            iam.create_user(UserName=user)
            key = iam.create_access_key(UserName=user)["AccessKey"]
            lines = ["[default]", f"aws_access_key_id={key['AccessKeyId']}"]
            keys.write_text("\n".join([*lines, f"aws_secret_access_key={key['SecretAccessKey']}", ""]))
            await pod.says("the IAM statement")
            policy = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
            iam.put_user_policy(UserName=user, PolicyName="own", PolicyDocument=policy)
            await pod.becomes_ready()
        assert pod.logged("not let in yet") == 1
    finally:
        moto_server.authorise(on=False)


@pytest.mark.rabbitmq
async def test_a_pod_that_is_told_to_stop_waits_no_longer(rabbitmq_url: str, tmp_path: Path) -> None:
    async with started(tmp_path, rabbitmq(rabbitmq_url.replace("guest:guest", "guest:wrong"))) as pod:
        await pod.says("ACCESS_REFUSED")
        pod.sidecar.signal(signal.SIGTERM)
        assert await pod.sidecar.wait() == 0
