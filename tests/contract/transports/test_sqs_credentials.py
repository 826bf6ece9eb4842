"""Where the sidecar's credentials come from in a pod: the library's chain, as EKS sets it up."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import pytest_asyncio
from tests.contract.transports.harness import depth_becomes
from tests.contract.transports.sqs_harness import SqsHarness
from tests.support.moto_server import ACCOUNT, ENVIRONMENT, MotoServer

from asya.transports import Outgoing

ROLE = f"arn:aws:iam::{ACCOUNT}:role/asya/asya_shop_a"
KEY = "AKIAFIRST00000000000"


@pytest_asyncio.fixture
async def sqs(moto_server: MotoServer) -> AsyncIterator[SqsHarness]:
    harness = SqsHarness(moto_server)
    yield harness
    await harness.end()


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """No keys in the environment, no shared files."""
    for name in ENVIRONMENT:
        if "KEY" in name:
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    yield monkeypatch
    monkeypatch.undo()


async def test_irsa(sqs: SqsHarness, bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The web identity of the pod's service account is exchanged at STS."""
    token = tmp_path / "token"
    token.write_text("header.body.signature")
    bare.setenv("AWS_ROLE_ARN", ROLE)
    bare.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    bare.setenv("AWS_ENDPOINT_URL_STS", sqs.server.url)
    transport = await sqs.connect("a")
    await transport.publish([Outgoing("a", b"x")])
    await depth_becomes(sqs, transport, "a", ready=1)
    assert transport.link.connected


async def test_pod_identity(sqs: SqsHarness, bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The agent on the node is asked with the pod's token, which is read anew each time."""
    token = tmp_path / "token"
    token.write_text("the pod's token")
    asked: list[str | None] = []

    class Agent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Authorization"))
            expiry = "2999-01-01T00:00:00Z"
            keys = {"AccessKeyId": KEY, "SecretAccessKey": "s", "Token": "t", "Expiration": expiry}
            body = json.dumps(keys).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:  # type: ignore[override]
            pass

    agent = HTTPServer(("127.0.0.1", 0), Agent)
    threading.Thread(target=agent.serve_forever, args=(0.05,), daemon=True).start()
    try:
        bare.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{agent.server_port}/v1/credentials")
        bare.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(token))
        transport = await sqs.connect("a")
        await transport.publish([Outgoing("a", b"x")])
        await depth_becomes(sqs, transport, "a", ready=1)
    finally:
        agent.shutdown()
        agent.server_close()
    assert asked == ["the pod's token"]
