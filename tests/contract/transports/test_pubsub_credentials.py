"""Google's default credentials over TLS: used, refused, absent. The token server and Pub/Sub's end are doubles."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.contract.transports.fake_pubsub_server import FakePubsubServer

CLIENT = """
import asyncio, sys
from asya.transports import Outgoing, QueueNames
from asya.transports.pubsub import PubsubTransport
from asya.transports.settings import PubsubSettings

async def main():
    transport = PubsubTransport(QueueNames("n"), PubsubSettings(project="p", endpoint=sys.argv[1]))
    try:
        async with asyncio.timeout(15):
            await transport.open()
            await transport.publish([Outgoing("a", b"x")])
    except Exception as error:
        print(type(error).__name__, error)
    else:
        print("published")
    await transport.close()

asyncio.run(main())
"""


class FakeTokenServer:
    """Gives tokens for signed requests, or refuses them."""

    def __init__(self) -> None:
        self.refuses = False
        self.given = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/token"

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].split()[0])
        await reader.readexactly(length)
        if self.refuses:
            status, answer = "400 Bad Request", {"error": "invalid_grant", "error_description": "Account deleted"}
        else:
            self.given += 1
            status, answer = "200 OK", {"access_token": "the-token", "expires_in": 3600, "token_type": "Bearer"}  # type: ignore[dict-item]
        text = json.dumps(answer)
        writer.write(
            f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n"
            f"connection: close\r\n\r\n{text}".encode()
        )
        await writer.drain()
        writer.close()


@pytest_asyncio.fixture
async def tokens() -> AsyncIterator[FakeTokenServer]:
    server = FakeTokenServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    found = trustme.CA()
    found.cert_pem.write_to_path(tmp_path / "ca.pem")
    return found


@pytest_asyncio.fixture
async def server(authority: trustme.CA) -> AsyncIterator[FakePubsubServer]:
    certificate = authority.issue_cert("localhost")
    chain = b"".join(part.bytes() for part in certificate.cert_chain_pems)
    server = FakePubsubServer()
    await server.start(grpc.ssl_server_credentials([(certificate.private_key_pem.bytes(), chain)]))
    yield server
    await server.stop()


def key_file(folder: Path, token_url: str) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    content = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "1",
        "private_key": key.decode(),
        "client_email": "actor@p.iam.gserviceaccount.com",
        "token_uri": token_url,
    }
    path = folder / "key.json"
    path.write_text(json.dumps(content))
    return path


async def run_client(server: FakePubsubServer, folder: Path, key: Path) -> str:
    """In a process of its own, because gRPC reads its roots once."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CLIENT,
        f"https://localhost:{server.endpoint.rpartition(':')[2]}",
        env={
            "PATH": os.environ["PATH"],
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(folder / "ca.pem"),
            "GOOGLE_APPLICATION_CREDENTIALS": str(key),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_the_default_credentials_are_used(
    server: FakePubsubServer, tokens: FakeTokenServer, tmp_path: Path
) -> None:
    assert await run_client(server, tmp_path, key_file(tmp_path, tokens.url)) == "published\n"
    assert server.published == [b"x"]
    assert len(server.authorizations) == 1
    assert server.authorizations[0].startswith("Bearer ")


async def test_credentials_that_google_refuses_are_said_at_once(
    server: FakePubsubServer, tokens: FakeTokenServer, tmp_path: Path
) -> None:
    tokens.refuses = True
    said = await run_client(server, tmp_path, key_file(tmp_path, tokens.url))
    assert said.startswith("DeniedError Google does not take the credentials: ")
    assert "Account deleted" in said
    assert server.published == []


async def test_credentials_that_are_missing_are_said_at_once(server: FakePubsubServer, tmp_path: Path) -> None:
    said = await run_client(server, tmp_path, tmp_path / "nowhere.json")
    assert said.startswith("DeniedError no Google credentials: ")
    assert "nowhere.json" in said
