"""The transport of a namespace, opened from a person's shell."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlsplit

from asya.cli.cluster.actors import Actor
from asya.cli.cluster.api import Cluster
from asya.cli.cluster.errors import ClusterError
from asya.cli.cluster.places import find_places
from asya.cli.cluster.platform import Rabbitmq, transports_of
from asya.cli.cluster.tunnel import Tunnel
from asya.errors import DeniedError, SettingsError
from asya.settings import load
from asya.transports import Transport, open_transport
from asya.transports.settings import TransportSettings

OPEN_SECONDS = 20.0
_ARN = 6
_AWS = (".amazonaws.com", ".amazonaws.com.cn")
_FIFO = ".fifo"


@contextlib.asynccontextmanager
async def opened(cluster: Cluster, actor: Actor) -> AsyncIterator[Transport]:
    """Open the transport of an actor's namespace.

    RabbitMQ is reached through the API server, with the platform's own Secret; SQS and Pub/Sub with the cloud
    credentials of this shell.

    Raises:
        ClusterError: Something for it cannot be read, or the broker cannot be reached or does not let us in.
        TransportError: The cloud refuses.
    """
    match actor.transport:
        case "rabbitmq":
            async with _rabbitmq(cluster, actor) as transport:
                yield transport
        case "sqs":
            async with _open(_settings(cluster, actor, _sqs(actor))) as transport:
                yield transport
        case "pubsub":
            async with _open(_settings(cluster, actor, _pubsub(cluster, actor))) as transport:
                yield transport
        case other:
            why = "; ".join(actor.wrong) or "nothing has been composed for it yet"
            raise ClusterError(f"{actor.name} has no queue: its transport is {other or 'not known'} ({why})")


@contextlib.asynccontextmanager
async def _rabbitmq(cluster: Cluster, actor: Actor) -> AsyncIterator[Transport]:
    broker = (await asyncio.to_thread(transports_of, cluster, actor.composition)).rabbitmq
    if broker is None:
        raise ClusterError(f"Composition {actor.composition} has no RabbitMQ, and {actor.name} is on it")
    login = await asyncio.to_thread(_login, cluster, broker)
    host, port = _first(broker)
    trust = await asyncio.to_thread(_trust, cluster, broker)
    places = await asyncio.to_thread(find_places, cluster, host, port)
    async with Tunnel(cluster, places, trust, host) as tunnel:
        where = {"ASYA_RABBITMQ_HOST": f"127.0.0.1:{tunnel.port}", "ASYA_RABBITMQ_VHOST": broker.vhost}
        try:
            async with _open(_settings(cluster, actor, {**where, **login}), tunnel) as transport:
                yield transport
        except DeniedError as error:
            secret = f"{broker.cluster.namespace}/{broker.cluster.secret}"
            raise ClusterError(f"the broker at {host} does not take the login of Secret {secret}: {error}") from None


@contextlib.asynccontextmanager
async def _open(settings: TransportSettings, tunnel: Tunnel | None = None) -> AsyncIterator[Transport]:
    # Its warnings are for operators; what is wrong is raised here.
    logging.getLogger("asya").addHandler(logging.NullHandler())
    transport = open_transport(settings)
    try:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await transport.open()
        except TimeoutError:
            why = (tunnel.problem if tunnel is not None else "") or transport.link.reason or "no answer"
            raise ClusterError(f"the broker does not let us in within {OPEN_SECONDS:g} s: {why}") from None
        yield transport
    finally:
        await transport.close()


def _settings(cluster: Cluster, actor: Actor, more: Mapping[str, str]) -> TransportSettings:
    # Names at the broker begin with asya_ or asya-, whatever the transport puts around them.
    name = actor.queue.rpartition(":")[2]
    common = {
        "ASYA_TRANSPORT": actor.transport or "",
        "ASYA_NAMESPACE": cluster.namespace,
        "ASYA_QUEUE_NAMES": "dash" if name.startswith("asya-") else "underscore",
    }
    try:
        return load(TransportSettings, {**common, **more})
    except SettingsError as error:
        raise ClusterError(f"the way to {actor.name} cannot be made out: {error}") from None


def _login(cluster: Cluster, broker: Rabbitmq) -> dict[str, str]:
    namespace, name = broker.cluster.namespace, broker.cluster.secret
    secret = cluster.get("secrets", name, namespace)
    if secret is None:
        raise ClusterError(f"there is no Secret {namespace}/{name}, which has the broker's login")
    try:
        found = {key: base64.b64decode(secret["data"][key]).decode() for key in ("username", "password")}
    except (KeyError, TypeError, ValueError):
        raise ClusterError(f"Secret {namespace}/{name} has no username and password") from None
    return {"ASYA_RABBITMQ_USERNAME": found["username"], "ASYA_RABBITMQ_PASSWORD": found["password"]}


def _first(broker: Rabbitmq) -> tuple[str, int]:
    """Return the first host and its port: behind a Service are all nodes of the broker anyway."""
    host, _, port = broker.host.split(",")[0].strip().partition(":")
    return host, int(port) if port else broker.amqp_port


def _trust(cluster: Cluster, broker: Rabbitmq) -> ssl.SSLContext | None:
    if not broker.tls:
        return None
    if broker.ca is None:
        return ssl.create_default_context()
    namespace, name, key = cluster.namespace, broker.ca.name, broker.ca.key
    found = cluster.get("configmaps", name, namespace)
    text = ((found or {}).get("data") or {}).get(key)
    if text is None:
        raise ClusterError(f"there is no ConfigMap {namespace}/{name} with a key {key}: the authorities to trust")
    try:
        return ssl.create_default_context(cadata=text)
    except ssl.SSLError as error:
        raise ClusterError(f"{key} of ConfigMap {namespace}/{name} has no certificates: {error.reason}") from None


def _sqs(actor: Actor) -> dict[str, str]:
    """Read region, account and endpoint from the queue's ARN and address."""
    parts = actor.queue.split(":")
    if len(parts) != _ARN:
        raise ClusterError(f"{actor.name} has no queue yet: {'; '.join(actor.wrong) or 'its ARN is not known'}")
    found = {"ASYA_AWS_REGION": parts[3], "ASYA_SQS_ACCOUNT_ID": parts[4]}
    address = urlsplit(actor.queue_url or "")
    if address.hostname and not address.hostname.endswith(_AWS):
        found["ASYA_SQS_ENDPOINT"] = f"{address.scheme}://{address.netloc}"
    return found | ({"ASYA_SQS_FIFO": "true"} if actor.queue.endswith(_FIFO) else {})


def _pubsub(cluster: Cluster, actor: Actor) -> dict[str, str]:
    broker = transports_of(cluster, actor.composition).pubsub
    if broker is None:
        raise ClusterError(f"Composition {actor.composition} has no Pub/Sub, and {actor.name} is on it")
    found = {"ASYA_PUBSUB_PROJECT_ID": broker.project}
    return found | ({"ASYA_PUBSUB_ENDPOINT": broker.endpoint} if broker.endpoint else {})
