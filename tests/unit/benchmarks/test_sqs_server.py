"""The server counts what workers call and not who only looks, and keeps connections."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from collections.abc import Iterator

import pytest
from benchmarks.cloud_sqs import CREDENTIALS
from benchmarks.sqs_server import SqsServer
from tests.support.moto_server import REGION

SIGNED = f"AWS4-HMAC-SHA256 Credential=A/20261121/{REGION}/sqs/aws4_request, SignedHeaders=host, Signature=0"


@pytest.fixture(scope="module")
def server() -> Iterator[SqsServer]:
    with SqsServer() as found:
        yield found


def test_only_workers_are_counted_on_connections_that_stay(server: SqsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    server.client("sqs").create_queue(QueueName="q")
    before = server.calls()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.connect()
    first = connection.sock
    for agent in ("Boto3/1.44 md/Botocore#1.44", "asya", "Botocore/1.44 asya", "Botocore/1.44"):
        headers = {"X-Amz-Target": "AmazonSQS.GetQueueUrl", "Content-Type": "application/x-amz-json-1.0"}
        body = json.dumps({"QueueName": "q"})
        connection.request("POST", "/", body, {**headers, "User-Agent": agent, "Authorization": SIGNED})
        answer = connection.getresponse()
        assert json.loads(answer.read())["QueueUrl"].endswith("/q")
        assert connection.sock is first
    connection.close()
    assert server.calls() - before == Counter(GetQueueUrl=3)
