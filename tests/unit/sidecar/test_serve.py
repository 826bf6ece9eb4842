"""The small HTTP server, and what is put on it."""

from __future__ import annotations

import asyncio
import socket

import pytest
from tests.support.host import free_port

from asya.errors import SettingsError
from asya.settings import load
from asya_sidecar.decide import Actor
from asya_sidecar.serve import Answer, HttpServer
from asya_sidecar.settings import SidecarSettings
from asya_sidecar.watch import Watch

BASE = {"ASYA_ACTOR_NAME": "a", "ASYA_NAMESPACE": "n", "ASYA_TRANSPORT": "sqlite"}


class StandingStill:
    """A loop that has not begun."""

    failure = None
    received = held = active = waiting = slots = 0
    blockers = frozenset(("no runtime",))
    connected = False
    notices: tuple[str, ...] = ()

    def problems(self) -> list[str]:
        return ["no runtime"]


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("request_bytes", [b"nonsense\r\n\r\n", b"\x16\x03\x01\x00", b"", b"GET / HTTP/9\r\n\r\n"])
async def test_what_is_no_request_gets_no_answer_and_does_no_harm(request_bytes: bytes) -> None:
    async def well(_accept: str) -> Answer:
        return Answer(200, "text/plain", b"well")

    server = HttpServer(("127.0.0.1", 0), {"/": well})
    port = await server.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request_bytes)
    writer.write_eof()
    async with asyncio.timeout(10):
        assert b"200" not in await reader.read()
    writer.close()
    assert b"well" in await ask(port, b"GET /?q=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    await server.close()


@pytest.mark.parametrize("shared", [True, False], ids=["one address", "two addresses"])
async def test_probes_and_metrics_share_an_address_or_not(shared: bool) -> None:
    first = free_port()
    second = first if shared else free_port()
    addresses = {"ASYA_HEALTH_ADDR": f"127.0.0.1:{first}", "ASYA_METRICS_ADDR": f"127.0.0.1:{second}"}
    watch = Watch(load(SidecarSettings, {**BASE, **addresses}), Actor(name="a"))
    await watch.open(StandingStill(), awaited=lambda: "")  # type: ignore[arg-type]  # what is read of it
    ready = await ask(first, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    metrics = await ask(second, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert ready.startswith(b"HTTP/1.1 503")
    assert b'asya_actor_receiving_blocked{actor="a",namespace="n",reason="no_runtime"} 1.0' in metrics
    other = await ask(first, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert other.startswith(b"HTTP/1.1 200" if shared else b"HTTP/1.1 404")
    await watch.close()


async def test_an_address_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        watch = Watch(load(SidecarSettings, {**BASE, "ASYA_METRICS_ADDR": f"127.0.0.1:{port}"}), Actor(name="a"))
        with pytest.raises(SettingsError, match=f"/metrics cannot be served on 127.0.0.1:{port}"):
            await watch.open(StandingStill(), awaited=lambda: "")  # type: ignore[arg-type]  # what is read of it
        await watch.close()
