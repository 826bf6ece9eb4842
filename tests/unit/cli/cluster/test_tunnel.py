"""The tunnel, to servers that listen on loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
from tests.support.host import free_port

from asya.cli.cluster.errors import ClusterError
from asya.cli.cluster.places import Address
from asya.cli.cluster.tunnel import Tunnel

NAME = "rabbitmq.asya-system.svc"
NO_CLUSTER: Any = None


@asynccontextmanager
async def echo(tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that gives back what it gets; every connection's bytes are kept."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got = b""
        while chunk := await reader.read(65536):
            got += chunk
            writer.write(chunk)
            await writer.drain()
        heard.append(got)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        server.close()


async def ask(port: int, text: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    answer = await asyncio.wait_for(reader.readexactly(len(text)), 10)
    writer.close()
    return answer


def served(name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's context for a certificate with this name."""
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert(name).configure_cert(server)
    authority.configure_trust(client)
    return server, client


async def test_several_connections_are_carried_both_ways_whole() -> None:
    large = bytes(range(256)) * 8192
    async with echo() as (far, _), Tunnel(NO_CLUSTER, [Address("127.0.0.1", far)], None, NAME) as tunnel:
        answers = await asyncio.gather(*(ask(tunnel.port, bytes([n]) + large) for n in range(4)))
    assert [answer == bytes([n]) + large for n, answer in enumerate(answers)] == [True] * 4


async def test_the_first_place_that_answers_is_taken() -> None:
    async with echo() as (far, _):
        places = [Address("127.0.0.1", free_port()), Address("127.0.0.1", far)]
        async with Tunnel(NO_CLUSTER, places, None, NAME) as tunnel:
            assert await ask(tunnel.port, b"here") == b"here"


async def test_a_certificate_is_checked_against_the_name_in_the_cluster() -> None:
    server, client = served(NAME)
    async with echo(server) as (far, _), Tunnel(NO_CLUSTER, [Address("127.0.0.1", far)], client, NAME) as tunnel:
        assert await ask(tunnel.port, b"secret") == b"secret"


@pytest.mark.parametrize("name", ["rabbitmq.elsewhere.svc", NAME])
async def test_a_certificate_of_another_name_or_authority_is_refused(name: str) -> None:
    server, client = served(name)
    if name == NAME:
        client = ssl.create_default_context()
    async with echo(server) as (far, heard):
        with pytest.raises(ClusterError, match=f"is not trusted as that of {NAME}"):
            await Tunnel(NO_CLUSTER, [Address("127.0.0.1", far)], client, NAME).__aenter__()
        assert heard == []


async def test_where_nobody_listens_is_told() -> None:
    port = free_port()
    with pytest.raises(ClusterError, match=f"127.0.0.1:{port}: .*refused"):
        await Tunnel(NO_CLUSTER, [Address("127.0.0.1", port)], None, NAME).__aenter__()


async def test_a_broker_that_goes_away_is_told_and_the_near_end_closed() -> None:
    async with echo() as (far, _):
        tunnel = await Tunnel(NO_CLUSTER, [Address("127.0.0.1", far)], None, NAME).__aenter__()
        assert await ask(tunnel.port, b"x") == b"x"
    reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
    assert await asyncio.wait_for(reader.read(), 10) == b""
    assert f"127.0.0.1:{far}" in tunnel.problem
    writer.close()
    await tunnel.__aexit__(None, None, None)
