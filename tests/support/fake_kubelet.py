"""A node that only forwards ports: what an API server asks a kubelet for `pods/portforward`, on loopback.

Stands in for a kubelet, which needs a machine of its own. Pods are not run: every port leads to the same port of
loopback. Source: k8s.io/kubelet v0.34, `pkg/cri/streaming/portforward/websocket.go`: for each port a data channel and a
channel for errors, each of which begins with the port as two bytes, little endian.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from types import TracebackType
from typing import Any, Self

import trustme
from aiohttp import WSMsgType, web

NODE = "fake-node"
_PROTOCOL = "v4.channel.k8s.io"
_DATA, _ERROR = b"\x00", b"\x01"
_START_SECONDS = 20.0


class FakeKubelet:
    """Serves in a thread of its own. `forwarded` has the path and port of each connection."""

    def __init__(self) -> None:
        self.port = 0
        self.forwarded: list[tuple[str, int]] = []
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(_START_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_START_SECONDS)

    def node(self) -> dict[str, Any]:
        """The Node whose kubelet this is; its status is written apart."""
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}

    def status(self) -> dict[str, Any]:
        """Where the API server finds it."""
        addresses = [{"type": "InternalIP", "address": "127.0.0.1"}]
        return {"addresses": addresses, "daemonEndpoints": {"kubeletEndpoint": {"Port": self.port}}}

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
        app = web.Application()
        app.router.add_get("/portForward/{namespace}/{pod}", self._forward)
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _forward(self, request: web.Request) -> web.WebSocketResponse:
        port = int(request.query["port"])
        self.forwarded.append((request.path, port))
        socket = web.WebSocketResponse(protocols=[_PROTOCOL])
        await socket.prepare(request)
        for channel in (_DATA, _ERROR):
            await socket.send_bytes(channel + port.to_bytes(2, "little"))
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError as error:
            await socket.send_bytes(_ERROR + f"error forwarding port {port}: {error}".encode())
            await socket.close()
            return socket
        near = asyncio.create_task(_out(reader, socket))
        async for message in socket:
            assert message.type is WSMsgType.BINARY
            if message.data[:1] == _DATA:
                writer.write(message.data[1:])
                await writer.drain()
        near.cancel()
        writer.close()
        return socket


async def _out(reader: asyncio.StreamReader, socket: web.WebSocketResponse) -> None:
    while chunk := await reader.read(32768):
        await socket.send_bytes(_DATA + chunk)
    await socket.close()
