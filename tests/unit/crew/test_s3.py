"""Checkpoints in S3, against moto's HTTP server on loopback."""

import json
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto.server import ThreadedMotoServer
from mypy_boto3_s3 import S3Client

from asya.crew.s3 import BucketStore

Start = Callable[..., ModuleType]
Document = dict[str, Any]
Drive = Callable[..., tuple[Any, list[str]]]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> S3Client:
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="kept")
    return client


def test_sink_keeps_a_message_below_the_prefix(
    s3: S3Client,
    crew: Start,
    driven: Drive,
    message: Document,
) -> None:
    sink = crew("sink", ASYA_CHECKPOINT_URL="s3://kept/mesh/one")
    assert driven(sink.handle, message)[0] is None
    answer = s3.get_object(Bucket="kept", Key=f"mesh/one/succeeded/2031-02-03/{message['id']}.json")
    assert answer["ContentType"] == "application/json"
    assert json.loads(answer["Body"].read()) == message


def test_a_bucket_that_is_not_there_is_an_error(
    s3: S3Client,
    crew: Start,
    driven: Drive,
    message: Document,
) -> None:
    sump = crew("sump", ASYA_CHECKPOINT_URL="s3://nowhere-at-all/x")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        driven(sump.handle, message)


def test_an_endpoint_that_is_away_is_an_error(
    s3: S3Client, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(EndpointConnectionError):
        BucketStore("kept", "").put("a.json", b"{}")
