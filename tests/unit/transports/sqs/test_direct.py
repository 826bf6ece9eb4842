"""The short way signs as the AWS library does, and leaves to it whatever is not a good answer."""

from __future__ import annotations

import json
import time
from collections import deque
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as TheirCredentials

from asya.transports.sqs import direct
from asya.transports.sqs.direct import LEFT_SECONDS, Credentials, Direct, Signer
from asya.transports.sqs.exchange import Answer, BadAnswerError, Connections, Server

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
OURS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")


@pytest.mark.parametrize("token", [None, "a-session/token=="])
@pytest.mark.parametrize("host", ["sqs.eu-west-1.amazonaws.com", "127.0.0.1:4566"])
@pytest.mark.parametrize("body", [b"{}", '{"Entries":[{"MessageBody":"grüße"}]}'.encode()])
def test_signatures_are_those_of_the_library(
    token: str | None, host: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: NOW)
    target = "AmazonSQS.SendMessageBatch"
    headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": target}
    request = AWSRequest("POST", f"http://{host}/", headers=headers, data=body)
    SigV4Auth(TheirCredentials(OURS.access_key, OURS.secret_key, token), "sqs", "eu-west-1").add_auth(request)
    found = Signer(host, "eu-west-1").headers(target, body, OURS._replace(token=token), "20261121T093000Z")
    assert found["authorization"] == request.headers["Authorization"]
    assert found["x-amz-date"] == request.headers["X-Amz-Date"]


def test_the_key_changes_with_the_day_and_the_secret() -> None:
    signer = Signer("h", "eu-west-1")
    other = OURS._replace(secret_key="another")
    fresh = [
        Signer("h", "eu-west-1").headers("t", b"", credentials, f"{day}T000000Z")["authorization"]
        for credentials, day in ((OURS, "20261121"), (OURS, "20261122"), (other, "20261122"))
    ]
    assert fresh == [
        signer.headers("t", b"", credentials, f"{day}T000000Z")["authorization"]
        for credentials, day in ((OURS, "20261121"), (OURS, "20261122"), (other, "20261122"))
    ]
    assert len(set(fresh)) == 3


class FakeConnections:
    """Answers without a network."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers, self.asked = deque(answers), list[tuple[Server, bytes]]()

    async def ask(self, server: Server, request: bytes, within: float) -> Answer:
        self.asked.append((server, request))
        answer = self.answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def call(self, way: Direct) -> dict[str, Any] | None:
        return await way.call(cast("Connections", self), "receive_message", {"QueueUrl": "q"}, 5)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    own = SimpleNamespace(monotonic=lambda: now[0], strftime=time.strftime, gmtime=time.gmtime)
    monkeypatch.setattr(direct, "time", own)
    return now


def way(source: list[Credentials] | None = None) -> Direct:
    found = iter(source or [OURS] * 10)
    return Direct("http://sqs.local:9324", "eu-west-1", lambda: next(found), None)


async def test_a_good_answer_is_returned_and_the_request_is_whole(clock: list[float]) -> None:
    connections = FakeConnections(Answer(200, b'{"Messages":[]}', kept=True), Answer(200, b"", kept=True))
    assert await connections.call(way()) == {"Messages": []}
    ((server, request),) = connections.asked
    assert server == Server("sqs.local", 9324, None)
    head, body = request.split(b"\r\n\r\n")
    assert json.loads(body) == {"QueueUrl": "q"}
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST / HTTP/1.1"
    assert {"host: sqs.local:9324", "x-amz-target: AmazonSQS.ReceiveMessage", f"content-length: {len(body)}"} < set(
        lines
    )
    assert await connections.call(way()) == {}


@pytest.mark.parametrize(
    "bad",
    [
        Answer(403, b'{"__type":"RequestThrottled"}', kept=True),
        Answer(200, b"<html>", kept=True),
        Answer(200, b"[]", kept=True),
        ConnectionResetError(),
        TimeoutError(),
        BadAnswerError("x"),
    ],
    ids=repr,
)
async def test_anything_else_is_left_to_the_library_for_a_while(bad: Answer | Exception, clock: list[float]) -> None:
    good = Answer(200, b"{}", kept=True)
    connections, short = FakeConnections(bad, good), way()
    assert await connections.call(short) is None
    clock[0] += LEFT_SECONDS - 0.1
    assert await connections.call(short) is None
    assert len(connections.asked) == 1
    clock[0] += 0.2
    assert await connections.call(short) == {}


async def test_credentials_are_asked_for_again_after_a_while_and_after_a_refusal(clock: list[float]) -> None:
    given = [Credentials(name, "secret") for name in ("first", "second", "third")]
    good = Answer(200, b"{}", kept=True)
    connections, short = FakeConnections(good, good, good, Answer(403, b"", kept=True), good), way(given)
    for passes in (0, 1.0, direct.KEPT_SECONDS, 0, LEFT_SECONDS + 1):
        clock[0] += passes
        await connections.call(short)
    used = [request.partition(b"Credential=")[2].partition(b"/")[0].decode() for _, request in connections.asked]
    assert used == ["first", "first", "second", "second", "third"]
