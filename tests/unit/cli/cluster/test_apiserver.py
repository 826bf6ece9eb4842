"""`asya ps` and `asya send` at a real API server, with a real broker. Ports of pods need a node: tests/cluster/e2e."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from click.testing import CliRunner, Result
from kubernetes import client as kubernetes
from tests.support.apiserver import Looking, api_server
from tests.support.definition import crd_of
from tests.support.host import free_port
from tests.support.moto_server import ENVIRONMENT, MotoServer
from tests.support.processes import until

from asya.api.xrd import definition
from asya.cli.cluster.api import Cluster
from asya.cli.cluster.errors import ClusterError
from asya.cli.cluster.options import Choice
from asya.cli.cluster.places import Address, PodPort, find_places
from asya.cli.main import main
from asya.operator.events import Event, Regarding
from asya.settings import load
from asya.transports import Outgoing, QueueSpec, Settle, open_transport
from asya.transports.settings import TransportSettings
from asya.wire import decode

pytestmark = [pytest.mark.apiserver, pytest.mark.slow, pytest.mark.xdist_group("apiserver")]
PLATFORM, NAMESPACE, COMPOSITION = "asya-system", "shop", "asyncactors"
GROUP = {"group": "asya.sh", "version": "v1alpha1", "plural": "asyncactors"}
# As much of Crossplane's kind as is asked here; its own definition comes with its chart.
COMPOSITIONS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "compositions.apiextensions.crossplane.io"},
    "spec": {
        "group": "apiextensions.crossplane.io",
        "names": {"kind": "Composition", "plural": "compositions"},
        "scope": "Cluster",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
Manifest = dict[str, Any]


@dataclass
class Scene(Looking):
    """A cluster with actors, and a broker that pods would reach as `localhost`."""

    def actor(self, name: str, composition: str = COMPOSITION, namespace: str = NAMESPACE, **status: Any) -> None:
        spec = {"image": "example.org/a:1", "handler": "a.b"}
        spec |= {"crossplane": {"compositionRef": {"name": composition}}}
        body = {"apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor", "metadata": {"name": name}, "spec": spec}
        self.custom.create_namespaced_custom_object(**GROUP, namespace=namespace, body=body)
        status = {"transport": "rabbitmq", "queueIdentifier": f"asya_{namespace}_{name}", **status}
        self.custom.patch_namespaced_custom_object_status(
            **GROUP, namespace=namespace, name=name, body={"status": status}
        )

    def composition(self, name: str, **rabbitmq: Any) -> None:
        given = {"cluster": {"namespace": PLATFORM, "connectionSecret": "rabbitmq-admin"}, **rabbitmq}
        step = {
            "step": "compose",
            "input": {
                "apiVersion": "composer.asya.sh/v1alpha1",
                "kind": "Input",
                "transports": {"rabbitmq": given, "sqs": {"region": "eu-west-1"}},
            },
        }
        body = {
            "apiVersion": "apiextensions.crossplane.io/v1",
            "kind": "Composition",
            "metadata": {"name": name},
            "spec": {"pipeline": [step]},
        }
        self.custom.create_cluster_custom_object("apiextensions.crossplane.io", "v1", "compositions", body)

    def person(self, name: str, *rules: Manifest) -> Path:
        """Return the kubeconfig of somebody who may do this in all namespaces, and no more."""
        access = kubernetes.RbacAuthorizationV1Api(self.client)
        access.create_cluster_role({"metadata": {"name": name}, "rules": list(rules)})
        self.core.create_namespaced_service_account("default", {"metadata": {"name": name}})
        subject = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
        access.create_cluster_role_binding({"metadata": {"name": name}, "roleRef": role, "subjects": [subject]})
        request = {"spec": {"audiences": ["https://kubernetes.default.svc"], "expirationSeconds": 3600}}
        token = self.core.create_namespaced_service_account_token(name, "default", request).status.token
        config = yaml.safe_load(self.server.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        file = self.folder / f"{name}.kubeconfig"
        file.write_text(yaml.safe_dump(config))
        return file

    def asya(self, *words: str, kubeconfig: Path | None = None, stdin: str = "", **environment: str) -> Result:
        """Run the command in a folder without an `asya up`."""
        environ = {"KUBECONFIG": str(kubeconfig or self.server.kubeconfig), **environment}
        with contextlib.chdir(self.folder):
            return CliRunner().invoke(main, list(words), input=stdin, env=environ)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, rabbitmq_url: str) -> Iterator[Scene]:
    with api_server() as server:
        found = Scene(server, server.client(), tmp_path_factory.mktemp("shell"))
        _install(found, rabbitmq_url)
        yield found


def _install(scene: Scene, url: str) -> None:
    api = kubernetes.ApiextensionsV1Api(scene.client)
    for crd in (crd_of(definition()), COMPOSITIONS):
        api.create_custom_resource_definition(crd)

    def served() -> bool:
        found = api.list_custom_resource_definition().items
        return all(
            any(c.type == "Established" and c.status == "True" for c in f.status.conditions or ()) for f in found
        )

    asyncio.run(until(served, within=60, what=lambda: "both kinds served"))
    for name in (PLATFORM, NAMESPACE, "empty"):
        scene.core.create_namespace({"metadata": {"name": name}})
    at = urlsplit(url)
    login = {"username": at.username, "password": at.password, "uri": "http://unused"}
    scene.core.create_namespaced_secret(PLATFORM, {"metadata": {"name": "rabbitmq-admin"}, "stringData": login})
    scene.core.create_namespaced_secret(
        PLATFORM, {"metadata": {"name": "wrong"}, "stringData": {"username": "nobody", "password": "secret-word"}}
    )
    vhost = at.path.removeprefix("/") or "/"
    scene.composition(COMPOSITION, host="localhost", port=at.port, vhost=vhost)
    wrong = {"namespace": PLATFORM, "connectionSecret": "wrong"}
    scene.composition("wrong-login", host="localhost", port=at.port, vhost=vhost, cluster=wrong)
    scene.composition("nobody-there", host="localhost", port=free_port())
    ready = [{"type": "Ready", "status": "True", "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    scene.actor("clean", phase="Napping", conditions=ready)
    failed = {"type": "WorkloadReady", "status": "False", "reason": "R", "message": "the image cannot be pulled"}
    scene.actor(
        "keywords", phase="Degraded", conditions=[{**failed, "lastTransitionTime": "2026-01-01T00:00:00Z"}], replicas=2
    )
    for composition in ("wrong-login", "nobody-there"):
        scene.actor(composition, composition, conditions=ready)
    asyncio.run(_declare(url))


def _transport(url: str) -> Any:
    environ = {"ASYA_TRANSPORT": "rabbitmq", "ASYA_NAMESPACE": NAMESPACE, "ASYA_RABBITMQ_URL": url}
    return open_transport(load(TransportSettings, environ))


async def _declare(url: str) -> None:
    transport = _transport(url)
    await transport.open()
    await transport.declare([QueueSpec("clean"), QueueSpec("keywords")])
    await transport.close()


def received(url: str, actor: str, count: int) -> list[Any]:
    """Take messages out of an actor's queue."""

    async def work() -> list[Any]:
        transport, found = _transport(url), asyncio.Queue[Any]()
        await transport.open()
        consumer = await transport.consume(actor, count, found.put_nowait)
        bodies = []
        for _ in range(count):
            delivery = await asyncio.wait_for(found.get(), 20)
            bodies.append(decode(delivery.body))
            await transport.complete(delivery)
        await consumer.close()
        await transport.close()
        return bodies

    return asyncio.run(work())


def test_ps_lists_actors_and_what_is_wrong(scene: Scene) -> None:
    asked = scene.asya("ps", "-n", NAMESPACE)
    lines = [line.split() for line in asked.stdout.splitlines()]
    assert lines[:4] == [
        ["ACTOR", "PHASE", "TRANSPORT", "REPLICAS", "SCALE"],
        ["clean", "Napping", "rabbitmq", "0/0", "0-10"],
        ["keywords", "Degraded", "rabbitmq", "0/2", "0-10"],
        ["WorkloadReady:", "the", "image", "cannot", "be", "pulled"],
    ], asked.stderr
    assert asked.stderr == f"context test, namespace {NAMESPACE}\n"
    as_json = json.loads(scene.asya("ps", "-n", NAMESPACE, "-o", "json").stdout)
    assert (as_json["context"], [each["name"] for each in as_json["actors"]][:2]) == ("test", ["clean", "keywords"])


def test_ps_tells_why_pods_do_not_run(scene: Scene) -> None:
    scene.core.create_namespace({"metadata": {"name": "failing"}})
    scene.actor("broken", namespace="failing")
    actor = scene.custom.get_namespaced_custom_object(**GROUP, namespace="failing", name="broken")
    lasting = Event(Regarding.of(actor), "ImageMissing", "image e2e/nowhere:1 is not there", name="broken.1")
    once = Event(Regarding.of(actor), "CrewReplaced", "that was then")
    for event in (lasting, once):
        scene.core.create_namespaced_event("failing", event.manifest(datetime.now(UTC)))
    lines = scene.asya("ps", "-n", "failing").stdout.splitlines()
    assert [line.strip() for line in lines[2:]] == ["image e2e/nowhere:1 is not there"]
    actors = {"apiGroups": ["asya.sh"], "resources": ["asyncactors"], "verbs": ["list"]}
    asked = scene.asya("ps", "-n", "failing", kubeconfig=scene.person("without-events", actors))
    assert (asked.exit_code, len(asked.stdout.splitlines())) == (0, 2)


def test_a_message_is_sent_with_nothing_but_a_kubeconfig(scene: Scene, rabbitmq_url: str) -> None:
    words = ["send", "clean", '{"text": "ü"}', "--route", "keywords", "--header", "k=1", "--timeout", "1h"]
    sent = subprocess.run(
        [sys.executable, "-m", "asya.cli.main", *words, "-n", NAMESPACE],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=scene.folder,
        env={**os.environ, "KUBECONFIG": str(scene.server.kubeconfig)},
    )
    assert sent.returncode == 0, sent.stderr
    assert sent.stderr.splitlines() == [
        f"context test, namespace {NAMESPACE}",
        "note: keywords is not ready, its messages wait in its queue: WorkloadReady: the image cannot be pulled",
    ]
    (envelope,) = received(rabbitmq_url, "clean", 1)
    assert envelope.id == sent.stdout.strip()
    assert (envelope.route.curr, envelope.route.next) == ("clean", ["keywords"])
    assert (json.loads(bytes(envelope.payload)), json.loads(bytes(envelope.headers["k"]))) == ({"text": "ü"}, 1)
    assert envelope.deadline_at is not None


def test_many_are_sent_and_each_id_printed_in_order(scene: Scene, rabbitmq_url: str) -> None:
    lines = "".join(f"{n}\n" for n in range(700))
    sent = scene.asya("send", "clean", "--many", "-", "-n", NAMESPACE, "-o", "json", stdin=lines)
    assert (sent.exit_code, sent.stderr) == (0, "")
    ids = [json.loads(line)["id"] for line in sent.stdout.splitlines()]
    got = {envelope.id: int(bytes(envelope.payload)) for envelope in received(rabbitmq_url, "clean", 700)}
    assert [got[each] for each in ids] == list(range(700))


def test_dead_letters_are_listed_redriven_and_dropped_with_nothing_but_a_kubeconfig(
    scene: Scene, rabbitmq_url: str
) -> None:
    async def bury() -> None:
        transport, found = _transport(rabbitmq_url), asyncio.Queue[Any]()
        await transport.open()
        bodies = [b'{"id":"%d","route":{"curr":"clean"},"payload":1}' % number for number in range(3)]
        await transport.publish([Outgoing("clean", body) for body in bodies])
        await transport.consume("clean", len(bodies), found.put_nowait)
        for _ in bodies:
            delivery = await asyncio.wait_for(found.get(), 20)
            await transport.complete(delivery, settle=Settle.DEAD_LETTER, reason="too-large")
        await transport.close()

    asyncio.run(bury())
    listed = scene.asya("dlq", "list", "-n", NAMESPACE, "-o", "json")
    dead = {each["name"]: each["reasons"] for each in json.loads(listed.stdout)["actors"]}
    assert dead == {"clean": {"too-large": 3}, "keywords": {}}
    assert listed.exit_code == 1, "two actors cannot be looked at"
    assert "wrong-login: the broker at localhost" in listed.stderr
    dropped = scene.asya("dlq", "drop", "clean", "2", "--yes", "-n", NAMESPACE)
    assert (dropped.exit_code, dropped.stdout) == (0, "1 dropped\n")
    redriven = scene.asya("dlq", "redrive", "clean", "--all", "-n", NAMESPACE)
    audit = [json.loads(line) for line in redriven.stderr.splitlines() if line.startswith("{")]
    assert sorted(line["id"] for line in audit) == ["0", "1"]
    assert {(line["namespace"], line["actor"]) for line in audit} == {(NAMESPACE, "clean")}
    assert sorted(envelope.id for envelope in received(rabbitmq_url, "clean", 2)) == ["0", "1"]
    asked = scene.asya("dlq", "list", "claen", "-n", NAMESPACE)
    assert (asked.exit_code, "has no actor 'claen'; there are: clean" in asked.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["send", "claen", "1"], "no actor 'claen' in namespace shop; did you mean 'clean'?"),
        (["send", "clean", "1", "--route", "zzzz"], "no actor 'zzzz' in namespace shop; there are: clean, keywords"),
        (["send", "clean", "1", "--route", "x-sink"], "comes at the end of every route by itself"),
        (["send", "clean", "1", "-n", "shpo"], "has no namespace 'shpo'; did you mean 'shop'?"),
        (["send", "clean", "1", "-n", "empty"], "no actor 'clean' in namespace empty; there are: none"),
        (["send", "clean", "1", "--id", "a/b"], "an id has 1 to 200 printable characters and no slash"),
        (["send", "clean", "1", "--header", "x-asya-hop=x"], "x-asya-hop"),
        (["send", "wrong-login", "1"], "does not take the login of Secret asya-system/wrong"),
        (["send", "nobody-there", "1"], "the broker cannot be reached: localhost:"),
        (["ps", "-n", "shpo"], "has no namespace 'shpo'"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_sent(scene: Scene, words: list[str], said: str) -> None:
    where = [] if "-n" in words else ["-n", NAMESPACE]
    asked = scene.asya(*words, *where)
    assert (asked.exit_code, asked.stdout, said in asked.stderr) == (1, "", True), asked.stderr
    assert "secret-word" not in asked.stderr
    assert "Traceback" not in asked.stderr


def test_what_a_person_may_not_do_is_named_with_verb_and_object(scene: Scene) -> None:
    actors = {"apiGroups": ["asya.sh"], "resources": ["asyncactors"], "verbs": ["list"]}
    compositions = {"apiGroups": ["apiextensions.crossplane.io"], "resources": ["compositions"], "verbs": ["get"]}
    nobody, reader = scene.person("nobody"), scene.person("reader", actors)
    composer = scene.person("composer", actors, compositions)
    for kubeconfig, said in (
        (nobody, "may not list asyncactors.asya.sh"),
        (reader, "may not get compositions.apiextensions.crossplane.io asyncactors"),
        (composer, "may not get secrets rabbitmq-admin"),
    ):
        asked = scene.asya("send", "clean", "1", "-n", NAMESPACE, kubeconfig=kubeconfig)
        assert (asked.exit_code, said in asked.stderr) == (1, True), asked.stderr
    assert scene.asya("ps", "-n", NAMESPACE, kubeconfig=reader).exit_code == 0
    # Who may not look at namespaces hears that there is nobody, not that there is no namespace.
    asked = scene.asya("send", "clean", "1", "-n", "shpo", kubeconfig=reader)
    assert "no actor 'clean' in namespace shpo; there are: none" in asked.stderr


def test_a_stranger_and_a_stranger_server_are_told(scene: Scene) -> None:
    config = yaml.safe_load(scene.server.kubeconfig.read_text())
    stranger = scene.folder / "stranger"
    stranger.write_text(yaml.safe_dump({**config, "users": [{"name": "test", "user": {"token": "x"}}]}))
    assert "does not know who you are" in scene.asya("ps", kubeconfig=stranger).stderr
    config["clusters"][0]["cluster"].pop("certificate-authority")
    stranger.write_text(yaml.safe_dump(config))
    asked = scene.asya("ps", kubeconfig=stranger)
    assert (asked.exit_code, "certificate verify failed" in asked.stderr) == (1, True), asked.stderr


def test_a_cluster_without_the_kind_is_told(scene: Scene) -> None:
    cluster = Cluster(Choice(kubeconfig=str(scene.server.kubeconfig)))
    assert cluster.find("nonexistents", NAMESPACE) is None


def test_sqs_is_reached_with_the_credentials_of_the_shell(scene: Scene, moto_server: MotoServer) -> None:
    sqs = moto_server.client("sqs")
    url = sqs.create_queue(QueueName="asya_shop_resize")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    scene.actor("resize", transport="sqs", queueIdentifier=arn, queueUrl=url)
    sent = scene.asya("send", "resize", '"x"', "-n", NAMESPACE, **ENVIRONMENT)
    assert sent.exit_code == 0, sent.stderr
    (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
    assert decode(message["Body"].encode()).id == sent.stdout.strip()


def test_places_behind_a_service_are_ready_pods_or_written_addresses(scene: Scene) -> None:
    core, cluster = scene.core, Cluster(Choice(kubeconfig=str(scene.server.kubeconfig), namespace=NAMESPACE))
    core.create_namespaced_service_account(PLATFORM, {"metadata": {"name": "default"}})
    ports = [{"name": "amqp", "port": 5672, "targetPort": "amqp"}]
    service = {"metadata": {"name": "broker"}, "spec": {"selector": {"app": "broker"}, "ports": ports}}
    core.create_namespaced_service(PLATFORM, service)
    with pytest.raises(ClusterError, match="nothing is ready behind Service asya-system/broker"):
        find_places(cluster, "broker.asya-system.svc", 5672)
    for name, ready in (("broker-0", "False"), ("broker-1", "True")):
        containers = [{"name": "c", "image": "i", "ports": [{"name": "amqp", "containerPort": 15673}]}]
        metadata = {"name": name, "labels": {"app": "broker"}}
        core.create_namespaced_pod(PLATFORM, {"metadata": metadata, "spec": {"containers": containers}})
        conditions = [{"type": "Ready", "status": ready}]
        core.patch_namespaced_pod_status(name, PLATFORM, {"status": {"conditions": conditions}})
    pod = [PodPort(PLATFORM, "broker-1", 15673)]
    for host in ("broker.asya-system.svc", "broker.asya-system", "x.broker.asya-system.svc.cluster.local"):
        assert find_places(cluster, host, 5672) == pod, host
    core.create_namespaced_service(PLATFORM, {"metadata": {"name": "written"}, "spec": {"ports": [{"port": 5672}]}})
    slices = {
        "metadata": {"name": "written", "labels": {"kubernetes.io/service-name": "written"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["192.0.2.1"]}, {"addresses": ["192.0.2.2"], "conditions": {"ready": False}}],
        "ports": [{"port": 5673, "name": ""}],
    }
    kubernetes.DiscoveryV1Api(scene.client).create_namespaced_endpoint_slice(PLATFORM, slices)
    assert find_places(cluster, "written.asya-system.svc", 5672) == [Address("192.0.2.1", 5673)]
    with pytest.raises(ClusterError, match="there is no Service for the broker's host nothing"):
        find_places(cluster, "nothing.asya-system.svc", 5672)
    assert find_places(cluster, "b-1.mq.example.com", 5671) == [Address("b-1.mq.example.com", 5671)]
