"""Ports of pods, through a real API server to a node: with a real broker behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from kubernetes import client as kubernetes
from tests.support.apiserver import ApiServer, api_server
from tests.support.fake_kubelet import NODE, FakeKubelet
from tests.support.host import free_port

from asya.cli.cluster.api import Cluster
from asya.cli.cluster.errors import ClusterError, ForbiddenError
from asya.cli.cluster.options import Choice
from asya.cli.cluster.places import PodPort
from asya.cli.cluster.tunnel import Tunnel
from asya.settings import load
from asya.transports import Outgoing, QueueSpec, open_transport
from asya.transports.settings import TransportSettings

pytestmark = [pytest.mark.apiserver, pytest.mark.slow, pytest.mark.xdist_group("apiserver")]
NAMESPACE, POD = "default", "broker-0"


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with api_server() as found:
        yield found


@pytest.fixture(scope="module")
def kubelet(server: ApiServer) -> Iterator[FakeKubelet]:
    core = kubernetes.CoreV1Api(server.client())
    with FakeKubelet() as found:
        core.create_node(found.node())
        core.patch_node_status(NODE, {"status": found.status()})
        core.create_namespaced_service_account(NAMESPACE, {"metadata": {"name": "default"}})
        spec = {"nodeName": NODE, "containers": [{"name": "c", "image": "i"}]}
        core.create_namespaced_pod(NAMESPACE, {"metadata": {"name": POD}, "spec": spec})
        core.patch_namespaced_pod_status(POD, NAMESPACE, {"status": {"phase": "Running"}})
        yield found


@pytest.fixture
def cluster(server: ApiServer, kubelet: FakeKubelet) -> Cluster:
    return Cluster(Choice(kubeconfig=str(server.kubeconfig)))


def settings(url: str, port: int) -> TransportSettings:
    at = urlsplit(url)
    login = f"{at.username}:{at.password}"
    environ = {"ASYA_TRANSPORT": "rabbitmq", "ASYA_NAMESPACE": "shop"}
    return load(TransportSettings, {**environ, "ASYA_RABBITMQ_URL": f"amqp://{login}@127.0.0.1:{port}{at.path}"})


async def test_messages_large_and_small_go_through_a_forwarded_port(
    cluster: Cluster, kubelet: FakeKubelet, rabbitmq_url: str
) -> None:
    far = urlsplit(rabbitmq_url).port
    assert far is not None
    direct = open_transport(settings(rabbitmq_url, far))
    await direct.open()
    await direct.declare([QueueSpec("a")])
    bodies = [b"x" * size for size in (1, 1000, 3_000_000)]
    async with Tunnel(cluster, [PodPort(NAMESPACE, POD, far)], None, "broker") as tunnel:
        through = open_transport(settings(rabbitmq_url, tunnel.port))
        async with asyncio.timeout(30):
            await through.open()
            for body in bodies:
                await through.publish([Outgoing("a", body)])
            await through.close()
    got: asyncio.Queue[Any] = asyncio.Queue()
    consumer = await direct.consume("a", 10, got.put_nowait)
    sizes = [len((await asyncio.wait_for(got.get(), 20)).body) for _ in bodies]
    assert sizes == [len(each) for each in bodies]
    await consumer.close()
    await direct.drop(["a"])
    await direct.close()
    assert set(kubelet.forwarded) == {(f"/portForward/{NAMESPACE}/{POD}", far)}
    # One to consume and one to publish, however many messages.
    assert len(kubelet.forwarded) == 2


async def test_a_pod_that_does_not_listen_is_told_in_the_nodes_words(cluster: Cluster) -> None:
    nobody = free_port()
    async with Tunnel(cluster, [PodPort(NAMESPACE, POD, nobody)], None, "broker") as tunnel:
        reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()
        assert f"error forwarding port {nobody}" in tunnel.problem


async def test_a_pod_that_is_gone_is_told(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match=r"no connection to port 1 of pod default/gone: .*404"):
        await Tunnel(cluster, [PodPort(NAMESPACE, "gone", 1)], None, "broker").__aenter__()


async def test_who_may_not_forward_hears_what_is_missing(
    server: ApiServer, kubelet: FakeKubelet, tmp_path: Any
) -> None:
    core = kubernetes.CoreV1Api(server.client())
    core.create_namespaced_service_account(NAMESPACE, {"metadata": {"name": "nobody"}})
    request = {"spec": {"audiences": ["https://kubernetes.default.svc"], "expirationSeconds": 3600}}
    token = core.create_namespaced_service_account_token("nobody", NAMESPACE, request).status.token
    config = yaml.safe_load(server.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    nobody = Cluster(Choice(kubeconfig=str(tmp_path / "config")))
    with pytest.raises(ForbiddenError, match="may not forward ports: it needs to get and create pods/portforward"):
        await Tunnel(nobody, [PodPort(NAMESPACE, POD, 1)], None, "broker").__aenter__()
