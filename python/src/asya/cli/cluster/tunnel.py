"""A port of loopback behind which the broker is: through the API server and a node where it is a pod's.

What comes from here to the port is plain; from there on it is encrypted where the broker wants that, and the
certificate is checked against the name by which the cluster's pods know the broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from asya.cli.cluster.api import Cluster
from asya.cli.cluster.errors import ClusterError
from asya.cli.cluster.places import Address, Place, PodPort

_CHUNK = 256 * 1024
_CONNECT_SECONDS, _CLOSE_SECONDS = 10.0, 2.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def _nothing() -> str:
    return ""


class Tunnel:
    """Listens on loopback; each connection goes to the first of `places` that takes it.

    `trust` is None without TLS; `name` is the one that the broker's certificate is checked against.
    """

    def __init__(self, cluster: Cluster, places: Sequence[Place], trust: ssl.SSLContext | None, name: str) -> None:
        self._cluster, self._places, self._trust, self._name = cluster, places, trust, name
        self._server: asyncio.Server | None = None
        self._first: Streams | None = None
        self._carrying: set[asyncio.Task[None]] = set()
        self._told: Callable[[], str] = _nothing
        self._problem = ""

    @property
    def port(self) -> int:
        """The port of loopback."""
        assert self._server is not None  # noqa: S101  it is open
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def problem(self) -> str:
        """Why connections do not come through, as far as that is known."""
        return self._told() or self._problem

    async def __aenter__(self) -> Self:
        """Connect once, so that what cannot work is told in its own words, then listen.

        Raises:
            ClusterError: The broker cannot be reached, or its certificate is not trusted.
        """
        self._first = await self._dial()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all connections."""
        if self._server is not None:
            self._server.close()
        if self._first is not None:
            await _close(self._first[1])
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: one that the server makes complains when it is cancelled.
        task = asyncio.get_running_loop().create_task(self._carry(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await self._take()
        except ClusterError as problem:
            self._problem = str(problem)
            await _close(writer)
            return
        copies = [asyncio.create_task(_copy(*ends)) for ends in ((reader, far_writer), (far_reader, writer))]
        try:
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for copy in copies:
                copy.cancel()
            await asyncio.gather(*copies, return_exceptions=True)
            await _close(far_writer)
            await _close(writer)

    async def _take(self) -> Streams:
        """Return the connection that was made first, to whoever comes first; a new one to others."""
        first, self._first = self._first, None
        return first or await self._dial()

    async def _dial(self) -> Streams:
        problems = []
        for place in self._places:
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    return await self._connect(place)
            except ssl.SSLCertVerificationError as error:
                raise ClusterError(
                    f"the certificate of the broker at {place} is not trusted as that of {self._name}: "
                    f"{error.verify_message}"
                ) from None
            except TimeoutError:
                problems.append(f"{place}: no answer within {_CONNECT_SECONDS:g} s")
            except OSError as error:
                problems.append(f"{place}: {self._told() or _words(error)}")
        raise ClusterError(f"the broker cannot be reached: {'; '.join(problems)}")

    async def _connect(self, place: Place) -> Streams:
        name = self._name if self._trust is not None else None
        match place:
            case Address(host, port):
                return await asyncio.open_connection(host, port, ssl=self._trust, server_hostname=name)
            case PodPort(namespace, pod, port):
                made = await asyncio.to_thread(self._cluster.forward, namespace, pod, port)
                self._told = made.told
                return await asyncio.open_unix_connection(sock=made.socket, ssl=self._trust, server_hostname=name)


async def _close(writer: asyncio.StreamWriter) -> None:
    """Close a connection, and see it closed: the loop may end right after."""
    writer.close()
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await writer.wait_closed()
    except OSError:
        # TimeoutError is one, too: a far end that does not answer to the end of TLS.
        writer.transport.abort()


def _words(error: OSError) -> str:
    # What asyncio says for a number names the address once more, and not what happened.
    return os.strerror(error.errno) if error.errno else str(error) or type(error).__name__


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes until one side ends."""
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
