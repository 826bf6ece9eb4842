"""An actor's role at SQS, taken on through STS, against a server that authorises each call by the policy rendered.

moto decides by the role's policy which calls pass. What it does not know of AWS is checked elsewhere: it evaluates no
condition of a permission, and no trust of a web identity.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer
from tests.compose.cloud.actors import composed, context, queues_at_work, settings

REGION = "eu-west-1"
ACCOUNT = "123456789012"
"""moto's own."""
NEVER = "1000000000"
"""Calls before authorisation begins, while the test prepares."""
ACTORS = [("shop", "resize"), ("shop", "paint"), ("shop", "x-sump"), ("shop-b", "resize")]


@dataclass
class Aws:
    """The server, as its administrator sees it."""

    endpoint: str

    def client(self, service: str, **credentials: str) -> Any:
        given = credentials or {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        once = Config(retries={"total_max_attempts": 1})
        return boto3.client(service, endpoint_url=self.endpoint, region_name=REGION, config=once, **given)

    def authorise_after(self, calls: str) -> None:
        plain = {"Content-Type": "text/plain"}
        request = urllib.request.Request(f"{self.endpoint}/moto-api/reset-auth", calls.encode(), plain, method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200

    def make(self, namespace: str, name: str) -> None:
        """Do what the providers do with the actor's objects."""
        first = context("sqs", name, namespace=namespace)
        found = composed(context("sqs", name, namespace=namespace, observed=queues_at_work(first)))
        wanted = {key: each.manifest["spec"]["forProvider"] for key, each in found.items()}
        sqs, urls = self.client("sqs"), {}
        for key in ("dead-letter-queue", "queue"):
            queue = wanted[key]
            attributes = {
                "VisibilityTimeout": str(queue["visibilityTimeoutSeconds"]),
                "MessageRetentionPeriod": str(queue["messageRetentionSeconds"]),
                "ReceiveMessageWaitTimeSeconds": "0",
            }
            urls[key] = sqs.create_queue(QueueName=queue["name"], Attributes=attributes, tags=queue["tags"])["QueueUrl"]
        redrive = wanted["redrive-policy"]["redrivePolicy"]
        sqs.set_queue_attributes(QueueUrl=urls["queue"], Attributes={"RedrivePolicy": redrive})
        allow = wanted["redrive-allow-policy"]["redriveAllowPolicy"]
        sqs.set_queue_attributes(QueueUrl=urls["dead-letter-queue"], Attributes={"RedriveAllowPolicy": allow})
        role, iam = self.role(namespace, name), self.client("iam")
        iam.create_role(
            RoleName=role, Path=wanted["role"]["path"], AssumeRolePolicyDocument=wanted["role"]["assumeRolePolicy"]
        )
        iam.put_role_policy(RoleName=role, PolicyName="queues", PolicyDocument=wanted["role-policy"]["policy"])

    def role(self, namespace: str, name: str) -> str:
        manifest = composed(context("sqs", name, namespace=namespace))["role"].manifest
        external: str = manifest["metadata"]["annotations"]["crossplane.io/external-name"]
        return external

    def as_actor(self, namespace: str, name: str) -> Any:
        """SQS as the actor's pod sees it."""
        arn = f"arn:aws:iam::{ACCOUNT}:role/asya/{self.role(namespace, name)}"
        taken = self.client("sts").assume_role_with_web_identity(
            RoleArn=arn, RoleSessionName=name, WebIdentityToken="token-of-the-pod"
        )["Credentials"]
        return self.client(
            "sqs",
            aws_access_key_id=taken["AccessKeyId"],
            aws_secret_access_key=taken["SecretAccessKey"],
            aws_session_token=taken["SessionToken"],
        )


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    found = Aws(f"http://{host}:{port}")
    for namespace, name in ACTORS:
        found.make(namespace, name)
    yield found
    found.authorise_after(NEVER)
    server.stop()


@pytest.fixture
def resize(aws: Aws) -> Iterator[Any]:
    """The actor `resize` of `shop`, from now on under authorisation."""
    client = aws.as_actor("shop", "resize")
    aws.authorise_after("0")
    yield client
    aws.authorise_after(NEVER)


def url(queue: str) -> str:
    return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{queue}"


def refused(call: Callable[[], Any]) -> bool:
    with pytest.raises(ClientError) as caught:
        call()
    # The server's answer is not in the protocol of SQS, so its code stays unread; a wrong signature is a 403 too.
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert "is not authorized to perform: sqs:" in str(caught.value)
    return True


def test_an_actor_works_off_its_own_queue(resize: Any) -> None:
    own = url("asya_shop_resize")
    resize.send_message(QueueUrl=own, MessageBody="retry")
    (message,) = resize.receive_message(QueueUrl=own, MaxNumberOfMessages=1)["Messages"]
    receipt = message["ReceiptHandle"]
    resize.change_message_visibility(QueueUrl=own, ReceiptHandle=receipt, VisibilityTimeout=30)
    resize.delete_message(QueueUrl=own, ReceiptHandle=receipt)
    attributes = resize.get_queue_attributes(QueueUrl=own, AttributeNames=["ApproximateNumberOfMessages"])
    assert attributes["Attributes"]["ApproximateNumberOfMessages"] == "0"


def test_an_actor_sends_to_its_neighbours(resize: Any) -> None:
    for neighbour in ("paint", "x-sump"):
        assert resize.send_message(QueueUrl=url(f"asya_shop_{neighbour}"), MessageBody="next")["MessageId"]


@pytest.mark.parametrize(
    "queue",
    ["asya_shop_paint", "asya_shop_paint_dlq", "asya_shop_resize_dlq", "asya_shop_x-sump", "asya_shop-b_resize"],
)
@pytest.mark.parametrize(
    "call",
    [
        lambda client, queue: client.receive_message(QueueUrl=queue),
        lambda client, queue: client.delete_message(QueueUrl=queue, ReceiptHandle="r"),
        lambda client, queue: client.change_message_visibility(QueueUrl=queue, ReceiptHandle="r", VisibilityTimeout=0),
        lambda client, queue: client.purge_queue(QueueUrl=queue),
    ],
    ids=["receive", "delete", "change-visibility", "purge"],
)
def test_it_takes_nothing_from_another_queue(resize: Any, queue: str, call: Callable[[Any, str], Any]) -> None:
    assert refused(lambda: call(resize, url(queue)))


@pytest.mark.parametrize(
    "queue", ["asya_shop-b_resize", "asya_shop-b_resize_dlq", "asya_shop_paint_dlq", "asya_shop_resize_dlq"]
)
def test_it_sends_neither_to_another_namespace_nor_to_dead_letters(resize: Any, queue: str) -> None:
    assert refused(lambda: resize.send_message(QueueUrl=url(queue), MessageBody="x"))


def test_it_changes_and_deletes_no_queue_not_even_its_own(resize: Any) -> None:
    own = url("asya_shop_resize")
    assert refused(lambda: resize.set_queue_attributes(QueueUrl=own, Attributes={"VisibilityTimeout": "1"}))
    assert refused(lambda: resize.delete_queue(QueueUrl=own))
    assert refused(lambda: resize.purge_queue(QueueUrl=own))


def test_the_last_resort_may_end_what_it_cannot_handle(aws: Aws) -> None:
    sump = aws.as_actor("shop", "x-sump")
    aws.authorise_after("0")
    try:
        assert sump.send_message(QueueUrl=url("asya_shop_x-sump_dlq"), MessageBody="x")["MessageId"]
        assert refused(lambda: sump.send_message(QueueUrl=url("asya_shop-b_x-sump_dlq"), MessageBody="x"))
        assert refused(lambda: sump.receive_message(QueueUrl=url("asya_shop_resize")))
    finally:
        aws.authorise_after(NEVER)


def test_the_server_does_authorise(aws: Aws) -> None:
    """Without a policy nothing passes, so what passed above passed by the policy."""
    iam = aws.client("iam")
    role = iam.create_role(
        RoleName="nobody", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []})
    )
    taken = aws.client("sts").assume_role(RoleArn=role["Role"]["Arn"], RoleSessionName="nobody")["Credentials"]
    nobody = aws.client(
        "sqs",
        aws_access_key_id=taken["AccessKeyId"],
        aws_secret_access_key=taken["SecretAccessKey"],
        aws_session_token=taken["SessionToken"],
    )
    aws.authorise_after("0")
    try:
        assert refused(lambda: nobody.send_message(QueueUrl=url("asya_shop_resize"), MessageBody="x"))
    finally:
        aws.authorise_after(NEVER)


def test_the_account_is_the_servers() -> None:
    sqs = settings("sqs").transports.sqs
    assert sqs is not None
    assert (sqs.account_id, sqs.region) == (ACCOUNT, REGION)
