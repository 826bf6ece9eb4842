"""Composed cloud objects at a real API server, carried out at servers that speak the clouds' APIs.

Authorisation is on all the while: the provider has the actions that the project's policy gives it, actors have what
their role gives them, and roles are had for a pod's token only.
"""

from __future__ import annotations

import copy
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError
from kubernetes import client as kubernetes
from kubernetes.client.exceptions import ApiException
from tests.cluster.clouds import aws_kinds
from tests.cluster.clouds.aws_server import ACCOUNT, AwsServer, Keys
from tests.cluster.clouds.crds import definitions
from tests.cluster.clouds.fake_provider import FakeProvider
from tests.cluster.clouds.google_kinds import services as google_services
from tests.cluster.clouds.managed import EXTERNAL_NAME
from tests.cluster.clouds.objects import Objects
from tests.cluster.clouds.web_identity import review_with
from tests.support.apiserver import ApiServer, api_server
from tests.support.pubsub import Emulator, EmulatorUnavailableError
from tests.unit.cluster_clouds.mesh import CLOUD, Mesh, until

from asya_composer import kinds

pytestmark = [pytest.mark.apiserver, pytest.mark.xdist_group("apiserver")]
REGION = "eu-central-1"
GOLDEN = Path(__file__).parents[2] / "compose" / "golden"
Manifest = dict[str, Any]
COMPOSED = [
    pytest.param(each, id=f"{path.parent.name}-{each['resource']}")
    for path in sorted(GOLDEN.glob("*/*.yaml"))
    for each in yaml.safe_load_all(path.read_text())
    if (each.get("apiVersion"), each.get("kind")) in CLOUD
]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator | None]:
    try:
        with Emulator() as found:
            yield found
    except EmulatorUnavailableError:
        yield None


@pytest.fixture(scope="module")
def mesh(emulator: Emulator | None) -> Iterator[Mesh]:
    with api_server() as server:
        _install(server)
        with AwsServer(REGION) as aws:
            aws.web_identity.review = review_with(server.client())
            sqs, iam = (aws.client(name, aws.provider) for name in ("sqs", "iam"))
            google = google_services(None if emulator is None else emulator.client())
            provider = FakeProvider(
                Objects(server.client()), {**aws_kinds.services(sqs, iam), **google}, interval=0.1, poll=1.0
            )
            aws.authorise()
            found = Mesh(server, aws, provider)
            yield found
            found.stop()


def _install(server: ApiServer) -> None:
    """Serve the kinds; make what an administrator makes."""
    client = server.client()
    api: Any = kubernetes.ApiextensionsV1Api(client)
    for each in definitions():
        api.create_custom_resource_definition(each)

    def conditions() -> list[set[str]]:
        found = api.list_custom_resource_definition().items
        return [{one.type for one in each.status.conditions or () if one.status == "True"} for each in found]

    until(lambda: all("Established" in each for each in conditions()), conditions)
    assert not any("NonStructuralSchema" in each for each in conditions())
    core: Any = kubernetes.CoreV1Api(client)
    for name in ("shop", "shop-b"):
        core.create_namespace({"metadata": {"name": name}})
    custom: Any = kubernetes.CustomObjectsApi(client)
    specs = {"aws": {"credentials": {"source": "IRSA"}}, "gcp": {"projectID": "p", "credentials": {"source": "None"}}}
    for cloud, spec in specs.items():
        group = f"{cloud}.m.upbound.io"
        config = {"apiVersion": f"{group}/v1beta1", "kind": "ClusterProviderConfig", "spec": spec}
        custom.create_cluster_custom_object(
            group, "v1beta1", "clusterproviderconfigs", {**config, "metadata": {"name": "default"}}
        )


@pytest.fixture(scope="module")
def resize(mesh: Mesh) -> dict[str, Manifest]:
    return mesh.compose("sqs", "resize")


@pytest.fixture(scope="module")
def neighbours(mesh: Mesh) -> None:
    mesh.compose("sqs", "paint")
    mesh.compose("sqs", "resize", namespace="shop-b")


def plain(manifest: Manifest) -> Manifest:
    return {name: value for name, value in manifest.items() if name != "resource"}


@pytest.mark.parametrize("manifest", COMPOSED)
def test_a_composed_object_is_taken_as_it_is(mesh: Mesh, manifest: Manifest) -> None:
    wanted = plain(manifest)
    taken = mesh.apply(wanted, dry_run=True)
    assert taken["spec"] == {"managementPolicies": ["*"], **wanted["spec"]}


def test_every_cloud_kind_is_among_the_composed() -> None:
    assert {(each.values[0]["apiVersion"], each.values[0]["kind"]) for each in COMPOSED} == CLOUD.keys()


def _misspell(spec: Manifest) -> None:
    spec["forProvider"]["queueURL"] = "x"


def _retype(spec: Manifest) -> None:
    spec["forProvider"]["redrivePolicy"] = {"maxReceiveCount": 3}


def _forget_required(spec: Manifest) -> None:
    del spec["forProvider"]["region"]


def _forget_needed(spec: Manifest) -> None:
    del spec["forProvider"]["redrivePolicy"]


def _overmanage(spec: Manifest) -> None:
    spec["managementPolicies"] = ["Adopt"]


@pytest.mark.parametrize("spoil", [_misspell, _retype, _forget_required, _forget_needed, _overmanage])
def test_what_a_provider_would_refuse_is_refused(mesh: Mesh, spoil: Callable[[Manifest], None]) -> None:
    good = next(each.values[0] for each in COMPOSED if each.values[0]["kind"] == "QueueRedrivePolicy")
    bad = copy.deepcopy(plain(good))
    spoil(bad["spec"])
    with pytest.raises(ApiException) as caught:
        mesh.apply(bad, dry_run=True)
    assert caught.value.status in {400, 422, 500}  # 500: what server-side apply says of a field that is none


def attributes(mesh: Mesh, url: str) -> dict[str, str]:
    found = mesh.aws.client("sqs", mesh.aws.administrator).get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    own: dict[str, str] = found["Attributes"]
    return own


def address(mesh: Mesh, queue: str) -> str:
    return f"{mesh.aws.endpoint}/{ACCOUNT}/{queue}"


def test_an_actor_on_sqs_becomes_real(mesh: Mesh, resize: dict[str, Manifest]) -> None:
    own, dead = address(mesh, "asya_shop_resize"), address(mesh, "asya_shop_resize_dlq")
    assert attributes(mesh, own)["VisibilityTimeout"] == "360"
    redrive = json.loads(attributes(mesh, own)["RedrivePolicy"])
    assert redrive == {"deadLetterTargetArn": attributes(mesh, dead)["QueueArn"], "maxReceiveCount": 50}
    allowed = json.loads(attributes(mesh, dead)["RedriveAllowPolicy"])
    assert allowed["sourceQueueArns"] == [attributes(mesh, own)["QueueArn"]]

    queue = resize["sqs-queue"]
    assert queue["metadata"]["annotations"]["crossplane.io/external-name"] == own
    assert queue["status"]["atProvider"]["url"] == own
    assert {each["type"]: each["status"] for each in queue["status"]["conditions"]} == {
        "Ready": "True",
        "Synced": "True",
    }
    assert resize["sqs-redrive-policy"]["spec"]["forProvider"]["queueUrl"] == own
    role = mesh.aws.client("iam", mesh.aws.administrator).get_role(RoleName="asya_shop_resize")["Role"]
    assert resize["sqs-role"]["status"]["atProvider"]["arn"] == role["Arn"]
    assert role["Path"] == "/asya/"


def refused(call: Callable[[], Any]) -> bool:
    with pytest.raises(ClientError) as caught:
        call()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert "is not authorized to perform" in str(caught.value)
    return True


@pytest.mark.usefixtures("neighbours")
def test_a_pod_has_the_rights_of_its_actor(mesh: Mesh, resize: dict[str, Manifest]) -> None:
    pod = mesh.aws.client("sqs", mesh.as_pod(resize))
    own, neighbour = address(mesh, "asya_shop_resize"), address(mesh, "asya_shop_paint")
    for queue in (own, neighbour, address(mesh, "asya_shop_resize_dlq")):
        assert pod.send_message(QueueUrl=queue, MessageBody="work")["MessageId"]
    (message,) = pod.receive_message(QueueUrl=own, WaitTimeSeconds=0)["Messages"]
    assert message["Body"] == "work"
    pod.delete_message(QueueUrl=own, ReceiptHandle=message["ReceiptHandle"])

    assert refused(lambda: pod.receive_message(QueueUrl=neighbour, WaitTimeSeconds=0))
    for queue in ("asya_shop-b_resize", "asya_shop_paint_dlq"):
        assert refused(lambda: pod.send_message(QueueUrl=address(mesh, queue), MessageBody="x"))  # noqa: B023
    iam = mesh.aws.client("iam", mesh.as_pod(resize))
    assert refused(lambda: iam.get_role(RoleName="asya_shop_paint"))


def test_fifo_queues_with_limits_become_real(mesh: Mesh) -> None:
    objects = mesh.compose("sqs-fifo", "turn", queue={"deletionPolicy": "Delete"})
    for end in ("", "_dlq"):
        found = attributes(mesh, address(mesh, f"asya_shop_turn{end}.fifo"))
        assert (found["FifoQueue"], found["DeduplicationScope"]) == ("true", "messageGroup")
        assert (found["FifoThroughputLimit"], found["MaximumMessageSize"]) == ("perMessageGroupId", "262144")
    writes = mesh.provider.writes
    mesh.after_a_poll()
    assert mesh.provider.writes == writes
    mesh.remove(objects)


@pytest.mark.usefixtures("neighbours")
@pytest.mark.parametrize(
    ("namespace", "account", "audience", "code"),
    [
        ("shop", "paint-actor", "sts.amazonaws.com", "AccessDenied"),
        ("shop-b", "resize-actor", "sts.amazonaws.com", "AccessDenied"),
        ("shop", "resize-actor", "https://kubernetes.default.svc", "InvalidIdentityToken"),
    ],
)
def test_a_role_is_for_its_own_pods_only(
    mesh: Mesh, resize: dict[str, Manifest], namespace: str, account: str, audience: str, code: str
) -> None:
    arn = resize["sqs-role"]["status"]["atProvider"]["arn"]
    with pytest.raises(ClientError) as caught:
        mesh.aws.role(arn, mesh.token(namespace, account, audience))
    assert caught.value.response["Error"]["Code"] == code


def test_who_signs_with_nothing_is_refused(mesh: Mesh, resize: dict[str, Manifest]) -> None:
    with pytest.raises(ClientError, match=r"InvalidClientTokenId|security token"):
        mesh.aws.client("sqs", Keys("AKIAIOSFODNN7EXAMPLE", "x")).list_queues()


def test_what_somebody_changes_at_the_cloud_is_put_back(mesh: Mesh, resize: dict[str, Manifest]) -> None:
    own, admin = address(mesh, "asya_shop_resize"), mesh.aws.client("sqs", mesh.aws.administrator)
    before = attributes(mesh, own)
    admin.set_queue_attributes(QueueUrl=own, Attributes={"VisibilityTimeout": "1"})
    admin.untag_queue(QueueUrl=own, TagKeys=["asya.sh/namespace"])
    mesh.aws.client("iam", mesh.aws.administrator).delete_role_policy(RoleName="asya_shop_resize", PolicyName="queues")
    until(
        lambda: attributes(mesh, own)["VisibilityTimeout"] == before["VisibilityTimeout"], lambda: attributes(mesh, own)
    )
    until(lambda: "asya.sh/namespace" in admin.list_queue_tags(QueueUrl=own).get("Tags", {}), lambda: "tags")
    iam = mesh.aws.client("iam", mesh.aws.administrator)
    until(lambda: iam.list_role_policies(RoleName="asya_shop_resize")["PolicyNames"] == ["queues"], lambda: "policy")


def queue_names(mesh: Mesh) -> set[str]:
    found = mesh.aws.client("sqs", mesh.aws.administrator).list_queues().get("QueueUrls", [])
    return {each.rpartition("/")[2] for each in found}


def role_names(mesh: Mesh) -> set[str]:
    return {each["RoleName"] for each in mesh.aws.client("iam", mesh.aws.administrator).list_roles()["Roles"]}


@pytest.mark.parametrize(("policy", "left"), [("Delete", False), ("DeleteIfEmpty", True)])
def test_deletion_leaves_what_the_actor_says(mesh: Mesh, policy: str, left: bool) -> None:
    name = f"leaving-{policy.lower()}"
    objects = mesh.compose("sqs", name, queue={"deletionPolicy": policy})
    queues = {f"asya_shop_{name}", f"asya_shop_{name}_dlq"}
    assert queues <= queue_names(mesh)
    mesh.remove(objects)
    assert queues & queue_names(mesh) == (queues if left else set())
    # Who an actor was is of no use without it.
    assert f"asya_shop_{name}" not in role_names(mesh)


def receive_count(mesh: Mesh, queue: str) -> int:
    found: int = json.loads(attributes(mesh, address(mesh, queue))["RedrivePolicy"])["maxReceiveCount"]
    return found


def test_a_new_delivery_limit_is_not_undone_by_the_queue(mesh: Mesh) -> None:
    """Of two objects for one queue, each leaves alone what the other manages, and then all is quiet."""
    mesh.compose("sqs", "limited")
    objects = mesh.compose("sqs", "limited", queue={"deliveryLimit": 7})
    until(lambda: receive_count(mesh, "asya_shop_limited") == 7, lambda: receive_count(mesh, "asya_shop_limited"))
    before = mesh.provider.writes
    mesh.after_a_poll()
    assert mesh.provider.writes == before
    assert receive_count(mesh, "asya_shop_limited") == 7
    found = mesh.find(objects["sqs-queue"]) or {}
    assert "redrivePolicy" not in found["spec"]["forProvider"]


def test_an_actor_finds_its_queues_again(mesh: Mesh) -> None:
    objects = mesh.compose("sqs", "back")
    own = address(mesh, "asya_shop_back")
    mesh.aws.client("sqs", mesh.aws.administrator).send_message(QueueUrl=own, MessageBody="kept")
    mesh.remove(objects)
    mesh.compose("sqs", "back")
    assert attributes(mesh, own)["ApproximateNumberOfMessages"] == "1"


def test_with_other_settings_the_cloud_refuses_until_the_queue_is_named(mesh: Mesh) -> None:
    mesh.remove(mesh.compose("sqs", "changed"))
    mesh.compose("sqs", "changed", told="QueueAlreadyExists", resiliency={"actorTimeout": "20m"})
    for part in ("queue", "dead-letter-queue"):
        own = address(mesh, f"asya_shop_changed{'' if part == 'queue' else '_dlq'}")
        mesh.annotate(kinds.SQS_QUEUE, "shop", f"changed-sqs-{part}", {EXTERNAL_NAME: own})
    mesh.compose("sqs", "changed", resiliency={"actorTimeout": "20m"})
    own = address(mesh, "asya_shop_changed")
    until(lambda: attributes(mesh, own)["VisibilityTimeout"] == "1260", lambda: attributes(mesh, own))


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("nowhere", {"providerConfigRef": {"kind": "ClusterProviderConfig", "name": "x"}}, "cannot get Cluster"),
        ("seen-only", {"managementPolicies": ["Observe"]}, "it may not be created"),
        ("odd", {"managementPolicies": ["Create", "Delete"]}, "['Create', 'Delete'] are not supported together"),
    ],
)
def test_what_cannot_be_carried_out_says_why(mesh: Mesh, name: str, change: Manifest, sentence: str) -> None:
    (good,) = (plain(each.values[0]) for each in COMPOSED if each.id == "sqs-sqs-queue")
    spec = {**good["spec"], **change, "forProvider": {**good["spec"]["forProvider"], "name": name}}
    queue = {**good, "metadata": {**good["metadata"], "name": name}, "spec": spec}
    mesh.apply(queue)

    def told() -> str:
        found = mesh.find(queue) or {}
        return " ".join(each.get("message", "") for each in found.get("status", {}).get("conditions", ()))

    until(lambda: sentence in told(), told)
    assert name not in queue_names(mesh)
    mesh.remove({"queue": queue})


def test_an_actor_on_pubsub_becomes_real(mesh: Mesh, emulator: Emulator | None) -> None:
    if emulator is None:
        pytest.skip("the Pub/Sub emulator is not installed")
    objects = mesh.compose("pubsub", "cut", queue={"deletionPolicy": "Delete"})
    with emulator.client() as api:
        path = "/v1/projects/example-project/subscriptions/asya_shop_cut"
        subscription = api.get(path).raise_for_status().json()
        assert subscription["topic"] == "projects/example-project/topics/asya_shop_cut"
        dead = subscription["deadLetterPolicy"]
        assert dead == {
            "deadLetterTopic": "projects/example-project/topics/asya_shop_cut_dlq",
            "maxDeliveryAttempts": 50,
        }
        assert objects["pubsub-consumer"]["status"]["atProvider"]["subscription"] == "asya_shop_cut"

        waiting = api.get(f"{path}.delay").raise_for_status().json()
        assert waiting["topic"] == "projects/example-project/topics/asya_shop_cut.delay"
        assert waiting["ackDeadlineSeconds"] == 10
        assert "deadLetterPolicy" not in waiting

        mesh.compose("pubsub", "cut", queue={"deletionPolicy": "Delete", "deliveryLimit": 7})
        until(
            lambda: api.get(path).json()["deadLetterPolicy"]["maxDeliveryAttempts"] == 7, lambda: api.get(path).json()
        )
        before = mesh.provider.writes
        mesh.after_a_poll()
        assert mesh.provider.writes == before
        mesh.remove(objects)
        assert api.get(path).status_code == 404
        for end in ("_dlq", ".delay"):
            assert api.get(f"/v1/projects/example-project/topics/asya_shop_cut{end}").status_code == 404


def test_the_command_carries_objects_out(mesh: Mesh, tmp_path: Path) -> None:
    """With a cloud of its own, while the fixture's provider rests."""
    command = [sys.executable, "-m", "tests.cluster.clouds", "run", "--no-pubsub", "--interval", "0.1"]
    mesh.stop()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--kubeconfig", str(mesh.server.kubeconfig)],
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=Path(__file__).parents[3],
        )
    try:
        assert process.stdout is not None
        where = json.loads(process.stdout.readline())
        assert where["pubsub"] is None
        url = mesh.compose("sqs", "elsewhere")["sqs-queue"]["status"]["atProvider"]["url"]
        assert url == f"{where['aws']}/{where['account']}/asya_shop_elsewhere"
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        mesh.start()
    assert process.returncode == 0, (tmp_path / "log").read_text()
