"""An actor's role at SQS, taken on through STS, against a server that authorises each call by the policy rendered.

moto decides by the role's policy which calls pass. It evaluates no trust of a web identity; that is checked elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.compose.cloud.actors import settings
from tests.compose.cloud.aws import ACCOUNT, REGION, Aws, running

ACTORS = [("shop", "resize"), ("shop", "paint"), ("shop", "x-sump"), ("shop-b", "resize")]


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with running(ACTORS) as found:
        yield found


@pytest.fixture
def resize(aws: Aws) -> Iterator[Any]:
    """The actor `resize` of `shop`, from now on under authorisation."""
    client = aws.as_actor("shop", "resize")
    with aws.authorising():
        yield client


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


def test_an_actor_sends_to_its_own_dead_letters(resize: Any) -> None:
    assert resize.send_message(QueueUrl=url("asya_shop_resize_dlq"), MessageBody="x")["MessageId"]


@pytest.mark.parametrize("queue", ["asya_shop-b_resize", "asya_shop-b_resize_dlq", "asya_shop_paint_dlq"])
def test_it_sends_neither_to_another_namespace_nor_to_dead_letters_of_others(resize: Any, queue: str) -> None:
    assert refused(lambda: resize.send_message(QueueUrl=url(queue), MessageBody="x"))


def test_it_changes_and_deletes_no_queue_not_even_its_own(resize: Any) -> None:
    own = url("asya_shop_resize")
    assert refused(lambda: resize.set_queue_attributes(QueueUrl=own, Attributes={"VisibilityTimeout": "1"}))
    assert refused(lambda: resize.delete_queue(QueueUrl=own))
    assert refused(lambda: resize.purge_queue(QueueUrl=own))


def test_the_last_resort_is_no_exception(aws: Aws) -> None:
    sump = aws.as_actor("shop", "x-sump")
    with aws.authorising():
        assert sump.send_message(QueueUrl=url("asya_shop_x-sump_dlq"), MessageBody="x")["MessageId"]
        for queue in ("asya_shop_resize_dlq", "asya_shop-b_x-sump_dlq"):
            assert refused(lambda queue=queue: sump.send_message(QueueUrl=url(queue), MessageBody="x"))
        assert refused(lambda: sump.receive_message(QueueUrl=url("asya_shop_resize")))


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
    with aws.authorising():
        assert refused(lambda: nobody.send_message(QueueUrl=url("asya_shop_resize"), MessageBody="x"))


def test_the_account_is_the_servers() -> None:
    sqs = settings("sqs").transports.sqs
    assert sqs is not None
    assert (sqs.account_id, sqs.region) == (ACCOUNT, REGION)
