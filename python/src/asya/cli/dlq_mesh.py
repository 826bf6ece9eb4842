"""Whose dead letters: those of an `asya up`, running or not, of a cluster, or of the broker that settings lead to."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from asya.cli.client import Client
from asya.cli.cluster.options import Choice
from asya.cli.dlq_audit import LOCAL_FILE
from asya.errors import AsyaError, SettingsError, TransportError
from asya.settings import load, process_environment
from asya.transports import QueueNames, Transport, open_transport
from asya.transports.settings import TransportSettings

if TYPE_CHECKING:
    from asya.cli.cluster.actors import Actor

QUEUE_FILE = "queue.db"
OPEN_SECONDS = 20.0
_NAMES = "ASYA_QUEUE_NAMES"


class Mesh(ABC):
    """The actors of one namespace."""

    namespace: str
    transport: str
    where: str
    """For people: which one it is."""
    audit: Path | None = None
    """Where its audit is unless somebody says otherwise; None: standard error."""

    @abstractmethod
    async def actors(self) -> list[str]:
        """Return the names of all actors, the crew included."""

    def group(self, actor: str) -> tuple[str, ...]:  # noqa: ARG002  where it matters
        """Say which actors share a transport: those of whom this is the same."""
        return ()

    @abstractmethod
    def opened(self, actor: str) -> AbstractAsyncContextManager[Transport]:
        """Open the transport of an actor."""


class LocalMesh(Mesh):
    """The embedded queue of an `asya up`."""

    def __init__(self, file: Path, namespace: str | None, audit: Path | None) -> None:
        """Look which namespace it is.

        Raises:
            AsyaError: There is no such queue, or it holds several namespaces and none of them is named.
        """
        from asya.transports.sqlite import Reader  # noqa: PLC0415  only the transport that is asked for is loaded

        if not file.is_file():
            raise AsyaError(
                f"there is no {file}: no `asya up` has run there with its own queue. Give its --state; "
                "where it uses a broker, or for any other broker, name that: --transport rabbitmq"
            )
        asyncio.run(self._upgrade(file))
        reader = Reader(file, QueueNames("any"))
        try:
            self._actors = reader.actors()
        finally:
            reader.close()
        if namespace is None and len(self._actors) != 1:
            found = ", ".join(self._actors) or "none"
            raise AsyaError(f"{file} has these namespaces: {found}; name one by ASYA_NAMESPACE")
        self.namespace = namespace or next(iter(self._actors))
        self.transport, self.audit, self.where = "sqlite", audit, f"{file}, namespace {self.namespace}"
        self._file = file

    async def actors(self) -> list[str]:
        """See `Mesh.actors`."""
        return self._actors.get(self.namespace, [])

    def opened(self, actor: str) -> AbstractAsyncContextManager[Transport]:  # noqa: ARG002  one for all
        """See `Mesh.opened`."""
        return _opened(_sqlite(self._file, self.namespace))

    @staticmethod
    async def _upgrade(file: Path) -> None:
        """Have the file brought to this version by a writer; readers do not."""
        async with _opened(_sqlite(file, "any")):
            pass


class BrokerMesh(Mesh):
    """The broker that the same variables lead to as in a sidecar; `state` is an `asya up` to ask for its actors."""

    def __init__(self, settings: TransportSettings, state: Path) -> None:
        self.namespace, self.transport = settings.namespace, settings.transport
        self.where = f"{self.transport}, namespace {self.namespace}"
        self._settings, self._state = settings, state

    async def actors(self) -> list[str]:
        """See `Mesh.actors`: a broker does not know them.

        Raises:
            AsyaError: No `asya up` runs here that does.
        """
        try:
            with Client(self._state) as client:
                return [actor["name"] for actor in client.actors()["actors"]]
        except AsyaError:
            raise AsyaError(
                f"which actors there are cannot be asked of {self.transport}; name them: asya dlq list ACTOR x-sump"
            ) from None

    def opened(self, actor: str) -> AbstractAsyncContextManager[Transport]:  # noqa: ARG002  one for all
        """See `Mesh.opened`."""
        return _opened(self._settings)


class ClusterMesh(Mesh):
    """A namespace of a cluster, reached as `asya send` does."""

    def __init__(self, choice: Choice) -> None:
        """Read the kubeconfig and ask for the namespace's actors.

        Raises:
            AsyaError: They cannot be had.
        """
        from asya.cli.cluster.actors import actors_of  # noqa: PLC0415  pydantic is for clusters only
        from asya.cli.cluster.api import Cluster  # noqa: PLC0415  as above

        self._cluster = Cluster(choice)
        self._found: dict[str, Actor] = {actor.name: actor for actor in actors_of(self._cluster)}
        self.namespace = self._cluster.namespace
        self.transport = ",".join(sorted({actor.transport or "unknown" for actor in self._found.values()}))
        self.where = f"context {self._cluster.context}, namespace {self.namespace}"

    async def actors(self) -> list[str]:
        """See `Mesh.actors`."""
        return sorted(self._found)

    def group(self, actor: str) -> tuple[str, ...]:
        """See `Mesh.group`."""
        found = self._found.get(actor)
        return () if found is None else (found.transport or "", found.composition or "")

    def opened(self, actor: str) -> AbstractAsyncContextManager[Transport]:
        """See `Mesh.opened`.

        Raises:
            AsyaError: There is no such actor.
        """
        from asya.cli.cluster.transport import opened  # noqa: PLC0415  as above

        if actor not in self._found:
            raise AsyaError(f"{self.where} has no actor {actor!r}; there are: {', '.join(self._found) or 'none'}")
        return opened(self._cluster, self._found[actor])


def find_mesh(state: Path, cluster: Choice | None, transport: str | None) -> Mesh:
    """Return what is meant: with `transport`, the broker that settings lead to; else a cluster, else an `asya up`.

    Raises:
        AsyaError: It cannot be found, or something it needs is not set.
    """
    environ = process_environment()
    given = None if cluster is None else cluster.namespace
    namespace = given or environ.get("ASYA_NAMESPACE") or None
    if transport is None and cluster is not None:
        return ClusterMesh(cluster)
    if transport in (None, "sqlite"):
        path = environ.get("ASYA_SQLITE_PATH") if transport else None
        return LocalMesh(Path(path) if path else state / QUEUE_FILE, namespace, None if path else state / LOCAL_FILE)
    if namespace is None:
        raise SettingsError([f"with --transport {transport} the namespace is needed: --namespace, or ASYA_NAMESPACE"])
    variables = {**environ, "ASYA_TRANSPORT": transport or "", "ASYA_NAMESPACE": namespace}
    return BrokerMesh(load(TransportSettings, variables), state)


def _sqlite(file: Path, namespace: str) -> TransportSettings:
    variables = {
        "ASYA_TRANSPORT": "sqlite",
        "ASYA_NAMESPACE": namespace,
        "ASYA_SQLITE_PATH": str(file),
        _NAMES: process_environment().get(_NAMES, ""),
    }
    return load(TransportSettings, variables)


@contextlib.asynccontextmanager
async def _opened(settings: TransportSettings) -> AsyncIterator[Transport]:
    transport = open_transport(settings)
    try:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await transport.open()
        except TimeoutError:
            why = transport.link.reason or "no answer"
            raise TransportError(f"{settings.transport} does not let us in within {OPEN_SECONDS:g} s: {why}") from None
        yield transport
    finally:
        await transport.close()
